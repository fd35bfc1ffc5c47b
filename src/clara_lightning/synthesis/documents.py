"""placeholder of document_key until merged"""

import hashlib
from clara_lightning.data.records import Document


def document_key(document: Document) -> str:
    return hashlib.blake2b(f"{document.title}\0{document.text}".encode(), digest_size=16).hexdigest()
