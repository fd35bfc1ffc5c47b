"""What sort of thing a name stands for, from the words in it and before it."""

from __future__ import annotations

_COUNTRIES = """Afghanistan Albania Algeria Angola Argentina Armenia Australia Austria Azerbaijan Bahrain Bangladesh
    Belarus Belgium Benin Bhutan Bolivia Botswana Brazil Bulgaria Burma Burundi Cambodia Cameroon Canada Chad Chile
    China Colombia Congo Croatia Cuba Cyprus Denmark Djibouti Ecuador Egypt England Eritrea Estonia Ethiopia Fiji
    Finland France Gabon Gambia Germany Ghana Greece Grenada Guatemala Guinea Guyana Haiti Honduras Hungary Iceland
    India Indonesia Iran Iraq Ireland Israel Italy Jamaica Japan Kazakhstan Kenya Kosovo Kuwait Kyrgyzstan Laos
    Latvia Lebanon Lesotho Liberia Libya Lithuania Luxembourg Madagascar Malawi Malaysia Maldives Mali Malta
    Mauritania Mauritius Mexico Moldova Mongolia Montenegro Morocco Mozambique Myanmar Namibia Nepal Netherlands
    Nicaragua Niger Nigeria Norway Oman Pakistan Panama Paraguay Peru Philippines Poland Portugal Qatar Romania
    Russia Rwanda Scotland Senegal Serbia Singapore Slovakia Slovenia Somalia Spain Sudan Suriname Sweden
    Switzerland Syria Taiwan Tajikistan Tanzania Thailand Togo Tunisia Turkey Turkmenistan Uganda Ukraine Uruguay
    Uzbekistan Venezuela Vietnam Wales Yemen Zambia Zimbabwe U.S U.S. USA UK U.K U.K. United_States United_Kingdom
    Soviet_Union South_Korea North_Korea South_Africa New_Zealand Saudi_Arabia Sri_Lanka Costa_Rica El_Salvador
    Ivory_Coast Czech_Republic United_Arab_Emirates Hong_Kong Papua_New_Guinea Dominican_Republic Burkina_Faso
    Sierra_Leone West_Germany East_Germany Czechoslovakia Yugoslavia Great_Britain Northern_Ireland"""
_STATES = """Alabama Alaska Arizona Arkansas California Colorado Connecticut Delaware Florida Hawaii Idaho Illinois
    Indiana Iowa Kansas Kentucky Louisiana Maine Maryland Massachusetts Michigan Minnesota Mississippi Missouri
    Montana Nebraska Nevada New_Hampshire New_Jersey New_Mexico North_Carolina North_Dakota Ohio Oklahoma Oregon
    Pennsylvania Rhode_Island South_Carolina South_Dakota Tennessee Texas Utah Vermont Virginia West_Virginia
    Wisconsin Wyoming"""
_CITIES = """Amsterdam Athens Atlanta Baghdad Baltimore Barcelona Beijing Belgrade Berlin Birmingham Bombay Boston
    Brooklyn Brussels Bucharest Budapest Cairo Calcutta Cambridge Chicago Cincinnati Cleveland Copenhagen Dallas
    Damascus Delhi Denver Detroit Dresden Dublin Edinburgh Florence Frankfurt Geneva Glasgow Hamburg Havana Helsinki
    Hollywood Houston Istanbul Jerusalem Johannesburg Karachi Kathmandu Kiev Lisbon Liverpool London Los_Angeles
    Madrid Manchester Manhattan Melbourne Miami Milan Milwaukee Minneapolis Montreal Moscow Mumbai Munich Nairobi
    Naples Nashville New_York New_York_City New_Orleans Oslo Ottawa Oxford Paris Philadelphia Pittsburgh Prague Rome
    Saint_Petersburg San_Diego San_Francisco Santiago Seattle Seoul Shanghai Sofia Stockholm Sydney Tehran Tokyo
    Toronto Vancouver Venice Vienna Warsaw Zurich Las_Vegas"""
_REGIONS = (
    "Africa Asia Europe America Scandinavia Siberia Caribbean Balkans Himalayas Alps Antarctica Americas Bengal Kashmir"
)
_TYPES = """university college school academy institute museum library hospital church cathedral temple palace castle
    theatre theater stadium park bridge airport station street avenue river lake ocean sea mountain mountains island
    islands valley desert bay county province district city village region peninsula war battle treaty act
    revolution empire dynasty kingdom republic party league cup championship championships tournament award prize
    festival orchestra company corporation club association union council committee commission army navy press
    newspaper magazine records studios pictures bank railway railroad society foundation parliament congress senate
    court""".split()
_ORGANIZATION = frozenset(
    "Records Studios Pictures Inc Corporation Company Entertainment Productions Television Press".split()
)
_ROLES = frozenset(
    """actor actress singer director producer writer author novelist poet composer musician guitarist drummer rapper
    artist painter architect scientist physicist mathematician chemist biologist philosopher historian engineer
    inventor explorer journalist politician president minister king queen emperor prince princess bishop pope saint
    general admiral officer captain coach player footballer manager founder leader chairman mayor governor senator
    secretary wife husband son daughter brother sister father mother friend colleague professor lawyer judge
    comedian screenwriter songwriter astronaut executioner mastermind conductor critic scholar economist editor
    designer goddess god businessman filmmaker host pilot philanthropist activist""".split()
)
_THINGS = frozenset(
    """film movie song single album novel book series play opera game magazine newspaper show sitcom band group team
    company label city town village country state county province district region island river lake mountain
    language religion newspaper ship school university hospital station airport street bridge church""".split()
)
_TITLE_WORDS = frozenset(
    """Mr Mrs Dr Sir Lord Lady President King Queen Prince Princess Pope Emperor General Admiral Captain Colonel
    Senator Governor Professor Saint Bishop Archbishop Duke Count Sultan Shah Tsar Chancellor""".split()
)
_GIVEN_NAMES = frozenset(
    """Aaron Adam Adrian Alan Albert Alexander Alfred Alice Amy Andrea Andrew Ann Anna Anne Anthony Antonio Arthur
    Barbara Barry Benjamin Bernard Betty Bill Billy Bob Brad Brian Bruce Carl Carlos Caroline Catherine Charles Charlie
    Chris Christian Christina Christopher Claude Craig Daniel Dave David Dean Dennis Diana Diane Donald Dorothy
    Douglas Edgar Edmund Edward Edwin Elizabeth Ellen Emily Emma Eric Ernest Eugene Eva Francis Frank Franklin Franz
    Fred Frederick Friedrich Gary Geoffrey George Gerald Gilbert Giovanni Giuseppe Gordon Grace Graham Greg Guy Hans
    Harold Harry Harvey Heinrich Helen Henri Henry Herbert Holly Howard Hugh Ian Isaac Ivan Jack Jacob Jacques James
    Jane Janet Jason Jay Jean Jeff Jeffrey Jennifer Jeremy Jerry Jessica Jesse Jim Jimmy Joan Joe Johann John Johnny
    Jonathan Joseph Josh Juan Judy Julia Julian Julie Karen Karl Kate Katherine Keith Kelly Ken Kenneth Kevin Kim
    Larry Laura Laurence Lawrence Lee Leonard Leonardo Lewis Linda Lisa Louis Louise Luis Luke Margaret Maria Marie
    Marilyn Mark Martha Martin Mary Matt Matthew Max Michael Michel Miguel Mike Mohammed Muhammad Nancy Neil
    Nicholas Nick Nicole Noah Oliver Oscar Otto Pablo Patricia Patrick Paul Pedro Peter Philip Philippe Pierre
    Rachel Ralph Ray Raymond Rebecca Richard Rob Robert Roger Ron Ronald Rose Roy Russell Ruth Ryan Sam Samuel
    Sandra Sara Sarah Scott Sean Sidney Simon Sophia Stanley Stephen Steve Steven Stuart Susan Ted Terrence Terry
    Theodore Thomas Tim Timothy Tom Tommy Tony Victor Victoria Vincent Virginia Walter Wayne Wilhelm William
    Wolfgang Woody Zack""".split()
)


def _table(names: str, sort: str) -> dict[str, str]:
    return {name.replace("_", " "): sort for name in names.split()}


_PLACES = (
    _table(_REGIONS, "region") | _table(_CITIES, "city") | _table(_STATES, "state") | _table(_COUNTRIES, "country")
)


def sort_of(words: list[str]) -> str:
    """What a name stands for: ``person``, ``country``, ``river`` ..., ``organization``; empty where nothing tells."""
    linked = "of" in words[1:]
    place = _PLACES.get(" ".join(words))
    if place:
        return place
    if linked:
        words = words[: words.index("of", 1)]
    last = words[-2] if len(words) > 1 and not words[-1].strip("IVX0123456789") else words[-1]
    if last.lower() in _TYPES and (len(words) > 1 or linked):
        return last.lower()
    if len(words) > 1:
        if words[0] in ("Lake", "Mount"):
            return "lake" if words[0] == "Lake" else "mountain"
        if last in _ORGANIZATION:
            return "organization"
        if last in _PLACES and words[0] in ("North", "South", "East", "West", "Northern", "Southern", "Central"):
            return "region"
    titled = words[0] in _TITLE_WORDS and (len(words) > 1 or linked)
    if titled or (words[0] in _GIVEN_NAMES and len(words) < 5):
        return "person"
    return ""


def is_place(name: str) -> bool:
    """Whether ``name`` is a country, a state, a region or a city of the tables."""
    return name in _PLACES


def role(word: str) -> str:
    """``person`` for a word such as "director", ``thing`` for one such as "film", empty for others."""
    return "person" if word in _ROLES else "thing" if word in _THINGS else ""
