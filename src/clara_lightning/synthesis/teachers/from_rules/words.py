"""Words that say little by themselves, and word classes that questions turn on (English, but for the foreign ones)."""

from __future__ import annotations

PRONOUNS = frozenset("it he she they".split())
POSSESSIVES = frozenset("its his her their".split())
DETERMINERS = frozenset("the a an this that these those each every some any no another".split()) | POSSESSIVES
PREPOSITIONS = frozenset(
    """about above across after against along among around as at before behind below beneath beside between beyond by
    down during for from in inside into like near of off on onto out over past per since than through throughout to
    toward towards under until up upon via with within without""".split()
)
AUXILIARIES = frozenset("is was are were has had have can could will would may might must should did does do".split())
BE = frozenset("is was are were".split())
CONNECTIVES = frozenset(
    """accordingly additionally also although although and as because besides both but consequently conversely despite
    either finally first for furthermore hence however if instead later likewise meanwhile moreover nevertheless
    next nonetheless nor now once or other others overall rather second similarly since so some still subsequently
    such then thereby therefore these third this those though thus unlike until when whereas while yet""".split()
)
BACK_REFERENCES = CONNECTIVES | PRONOUNS | POSSESSIVES | frozenset("the there here".split())
APPROXIMATE = frozenset("about around approximately nearly almost over roughly some only estimated circa".split())
_MORE_FUNCTION_WORDS = frozenset(
    """him them himself herself itself themselves who whom whose which what where why how there here i we you me us my
    our your mine yours ours be been being am done doing having shall not never ever only very too more most much many
    less least few several all both own same just even often well quite one two already again further them former
    latter including include includes included according known called using used use became become becomes""".split()
)
FUNCTION_WORDS = (
    PRONOUNS | DETERMINERS | PREPOSITIONS | AUXILIARIES | CONNECTIVES | BACK_REFERENCES | _MORE_FUNCTION_WORDS
)
COMMON_WORDS = FUNCTION_WORDS | frozenset(
    """across almost although always another because become before behind better between cannot common course
    different during either enough especially example family following general generally having herself himself
    important itself largest little longer mainly making members mostly music nearly nothing number number often
    original others outside particular people perhaps period person possible probably rather really recent second
    several should similar simply single something sometimes started system taking themselves things thought through
    throughout together toward towards usually various without within working world years around called known making
    others whether result results ability variety centuries addition amount process instead anything everything
    someone otherwise before afterwards""".split()
)
ENGLISH = frozenset(
    """the of and to in a is was for that with by as on from it are were his her he she its which at an be has have
    had their this these who not but also or they""".split()
)
# Small words of other languages in Latin letters which English lacks, so that their sentences are not asked about as if
# they were English ones.
FOREIGN = frozenset(
    """der die das und ist ein eine den dem von mit zu im auf des nicht sich le la les et est une du des que dans pour
    qui sur el los las y en es del un una por con se su il lo gli di che e per della sono nel o os uma do da em com
    het een van dat op te zijn w na nie jest och att som det av til er ja ve bir dan yang di""".split()
)
MONTHS = "January February March April May June July August September October November December".split()
CALENDAR = frozenset(MONTHS) | frozenset(
    "Monday Tuesday Wednesday Thursday Friday Saturday Sunday Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec".split()
)
SPELLED_NUMBERS = {
    word: value
    for value, word in enumerate(
        """two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen twenty""".split(),
        start=2,
    )
} | {"thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
PLURALS = frozenset("people men women children fish feet teeth sheep deer cattle police members series species".split())
