"""Readers of single Factbook fields on the state and its people: names, dates, languages and money."""

from __future__ import annotations

import re

from clara_lightning.demo.places import full_name, with_article
from clara_lightning.demo.readers import Parts, amount, people
from clara_lightning.demo.text import listed, plain_names

_DATE = r"\d{1,2} (?:January|February|March|April|May|June|July|August|September|October|November|December)"
_TITLES = (
    r"(?:(?:Transitional|Transition|Interim|Acting) )?"
    r"(?:President|King|Queen|Prince|Sultan|Amir|Emir|Grand Duke|Emperor|Supreme Leader)"
)
_CURRENCIES = {
    "Communaute Financiere Africaine francs": "West African CFA franc",
    "Cooperation Financiere en Afrique Centrale francs": "Central African CFA franc",
    "Coopération Financière en Afrique Centrale francs": "Central African CFA franc",
    "Comptoirs Francais du Pacifique francs": "CFP franc",
    "konvertibilna markas": "convertible mark",
    "emalangeni": "lilangeni",
    "maloti": "loti",
    "Renminbi yuan": "renminbi yuan",
}
_SINGULARS = {
    "kroner": "krone",
    "kronor": "krona",
    "kronur": "krona",
    "koruny": "koruna",
    "zlotych": "zloty",
    "meticais": "metical",
    "lei": "leu",
    "leke": "lek",
    "leva": "lev",
    "colones": "colon",
    "quetzales": "quetzal",
    "leones": "leone",
}


def capital(text: str) -> Parts:
    """A capital where there is exactly one."""
    name = re.split(r"; note|\n| in Romanian", re.sub(r"\s*\([^()]*\)", "", text))[0].strip()
    return {"value": name} if re.fullmatch(r"[\w'. -]+|Washington, D\.C\.", name) and "capital" not in name else {}


def city(text: str) -> Parts:
    """The largest urban area: ``11.204 million LIMA (capital), ...``."""
    found = re.findall(r"(?:^|, )([\d.,]+)( million)? ([^,(\d]+)", text.split("\n")[0])
    sized = [(float(amount(number, million)["number"]), name.strip()) for number, million, name in found]
    if not sized:
        return {}
    number, name = max(sized)
    name = re.sub(
        r"(?<=[ -])(?:Au|Da|De|Do|Es)(?=[ -])", lambda found: found[0].lower(), plain_names(name, prose=False)
    )
    return {"value": re.sub(r"^New York-.*", "New York", name), "people": people(f"{number:.0f}")["value"]}


def government(text: str) -> Parts:
    """``a presidential republic``."""
    value = text.split(";")[0].strip()
    if not re.fullmatch(r"[a-z -]+ (?:republic|monarchy|democracy)", value):
        return {}
    return {"value": value, "article": "an" if value[0] in "aeio" else "a"}


def independence(text: str) -> Parts:
    """``28 July 1821 (from Spain)`` where it is the only date."""
    text = re.split(r"; (?:note|notable)|\n", text)[0]
    found = re.fullmatch(rf"({_DATE}) (\d{{4}}) \(from (?:the )?([A-Z][\w. -]+)\)", text)
    if not found or re.search(r" and |administ|mandate|trust|protect|control|British India", found[3]):
        return {}
    name = full_name(found[3])
    return {"date": f"{found[1]} {found[2]}", "year": found[2], "name": name, "in_text": with_article(name)}


def head_of_state(text: str) -> Parts:
    """Title, name and first day of whoever is chief of state; a monarch keeps the title."""
    found = re.match(rf"({_TITLES}) ([^,;()\n]+?)(?:; also [^()]*)? \(since (\d{{1,2}} \w+ \d{{4}})", text)
    if not found or re.search(r"\bof\b|vacant", found[2]):
        return {}
    title, name = found[1], plain_names(re.sub(r"^(?:(?:Dr|Gen|Lt|Col|Maj|Brig|Capt)\. )+", "", found[2]), prose=False)
    bare = name if re.search(r"President|Leader", title) else f"{title} {name}"
    return {"title": title, "name": name, "answer": bare, "since": found[3]}


def holiday(text: str) -> Parts:
    """``Independence Day, 28 July (1821)``: the day's name without brackets, and its date."""
    found = re.match(rf"((?:[^,;()]|\([^()]*\))+), ({_DATE})(?: \(\d{{4}}\))?$", text)
    return {"name": re.sub(r"\s*\([^()]*\)", "", plain_names(found[1])).strip(), "date": found[2]} if found else {}


def symbols(text: str) -> Parts:
    """``is the lion`` or ``is the lion and the elephant``; ``single`` where there is one."""
    plain = re.sub(r"\s*\([^()]*\)", "", text.split("\n")[0]).strip()
    found = [re.sub(r"^(?:and )?(?:(?:an?|the) )?", "", item.strip()) for item in re.split(r"[,;]", plain)]
    if len(found) > 5 or not all(re.fullmatch(r"[\w' -]{2,45}", item) for item in found):
        return {}
    parts = {
        "all": f"{'symbol is' if len(found) == 1 else 'symbols are'} {listed([_definite(item) for item in found])}"
    }
    return parts | ({"single": found[0]} if len(found) == 1 and len(found[0].split()) <= 4 else {})


def anthem(text: str) -> Parts:
    """The title within quotation marks."""
    found = re.match(r'"([^"\n]+)"', text)
    return {"value": found[1].strip(" ,.")} if found else {}


def internet_code(text: str) -> Parts:
    """``.pe``, where there is one."""
    found = re.match(r"(?:metropolitan \w+ - )?(\.[a-z]{2})(?:$|; [A-Z]|;? *note|\n| \()", text)
    return {"value": found[1]} if found else {}


def nationality(text: str) -> Parts:
    """``Peruvians`` of ``Peruvian(s)``."""
    found = re.fullmatch(r"([\w' -]+)(?:\(s\)| \(singular and plural\))", text)
    return {"value": found[1] + ("s" if "(s)" in text else "")} if found else {}


def languages(text: str) -> Parts:
    """Up to four languages; ``official`` where exactly one is."""
    text = re.split(r"\n|; ?note", text)[0]
    pieces = re.split(r", (?![^()]*\))", text)
    official = [re.split(r" \(", piece)[0].strip() for piece in pieces if re.search(r"\(official\b(?! in| on)", piece)]
    names = [re.sub(r"\s*[(\d<].*", "", piece).strip(" ;") for piece in pieces[:4]]
    names = [name for name in names if re.fullmatch(r"[A-Z][\w'/-]*(?: [A-Z][\w-]*){0,2}", name)]
    if not names:
        return {}
    single = len(official) == 1 and text.count("official") == 1 and official[0] in names
    if single and names == official:
        return {"sentence": f"The official language is {official[0]}", "official": official[0]}
    note = f"; the official language is {official[0]}" if single else ""
    opening = "The main language is" if len(names) == 1 else "Languages spoken there include"
    sentence = f"{opening} {listed(names)}{note}"
    return {"sentence": sentence, "official": official[0]} if single else {"sentence": sentence}


def religion(text: str) -> Parts:
    """The largest religious group and its share."""
    found = re.match(r"([A-Z][A-Za-z ]+?)(?: \([^()]*\))? ([\d.]+%)", text)
    return {"value": found[1], "share": found[2]} if found else {}


def currency(text: str) -> Parts:
    """The unit in the singular (``Algerian dinar``), without its code, and the last word of it."""
    plural = re.sub(r"\s*(?:\([A-Z]+\))?\s*per US dollar.*", "", text).split("/")[0].strip()
    *before, last = plural.split() or [""]
    name = _CURRENCIES.get(plural) or " ".join([*before, _SINGULARS.get(last, last.removesuffix("s"))])
    return {"value": name, "unit": name.split()[-1]} if re.fullmatch(r"[\w' -]+", name) and " or " not in name else {}


def _definite(symbol: str) -> str:
    """``the lion``, but ``Marianne``."""
    return symbol if re.fullmatch(r"[A-Z]\w+", symbol) else f"the {symbol}"
