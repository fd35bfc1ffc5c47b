"""English verbs: the base form of a past form, so that a question can be asked with "did"."""

from __future__ import annotations

_REGULAR = """abandon abolish absorb accept achieve acquire act adapt add address adopt advance affect agree aim allow
    alter announce annex appear apply appoint approach approve argue arrange arrest arrive ask assassinate assemble
    assign assist assume attack attempt attend attract award ban base battle begin believe belong call campaign capture
    carry cause cede celebrate challenge change charge chair claim close coin collaborate collapse collect colonize
    combine command comment commission compare compete compile complete compose comprise conceive conclude conduct
    confirm connect conquer consider consist construct contain continue contract contribute control convert cover crash
    create criticize cross crown cultivate damage date deal debut decide declare decline dedicate defeat defend define
    deliver demand demolish demonstrate deny depart deploy derive describe design destroy determine develop devote die
    differ direct disappear discover discuss dismiss display dissolve distribute divide document dominate donate drop
    earn edit educate elect eliminate embrace emerge emigrate emphasize employ enable enact encounter encourage end
    endorse engage enjoy enlist ensure enter establish estimate evacuate evolve examine exceed exchange execute exist
    expand experience explain explore export expose express extend face fail feature film finance finish flee focus
    follow
    force form found fulfill function gain gather govern graduate grant happen head help highlight hire host identify
    illustrate imagine implement import impose improve incorporate increase indicate influence inherit initiate inspire
    install integrate introduce invade invent invest invite involve issue join jump kill label lack land last launch
    learn like limit link list live locate maintain manage manufacture march mark marry mature measure mention merge
    migrate mix mount move murder name narrate note number observe obtain occupy occur offer open operate oppose order
    organize originate oversee own participate pass perform permit persuade photograph place plan plant play point
    popularize possess praise predict prefer premiere prepare present preserve prevent proceed process proclaim produce
    profit promise promote propose protect protest prove provide publish pull purchase pursue push qualify raise range
    rank rate reach realize rebel receive recognize recommend record recover recruit reduce refer reflect refuse
    regain regard reign reject relate release relocate rely remain remove rename renovate renew repeat replace report
    represent require rescue reside resign resolve respond restore result resume retain retire return reveal review
    reward rule sail save schedule score seize select separate serve settle share shift sign sponsor stage star start
    state stay stop strengthen stretch study submit succeed suffer suggest supply support suppress surrender survive
    switch target team terminate test tour trace trade train transfer transform translate transport travel treat turn
    undergo unite unveil urge use value vary view visit vote wait walk want warn weigh welcome witness work worry
    yield"""
_DOUBLED = frozenset("ban control drop permit plan refer star stop submit transfer occur commit admit".split())
_IRREGULAR = """beat/beat/beaten become/became/become begin/began/begun bring/brought/brought break/broke/broken
    build/built/built buy/bought/bought catch/caught/caught choose/chose/chosen come/came/come deal/dealt/dealt
    draw/drew/drawn drive/drove/driven fall/fell/fallen feel/felt/felt fight/fought/fought find/found/found
    flee/fled/fled fly/flew/flown get/got/got give/gave/given go/went/gone grow/grew/grown hear/heard/heard
    hold/held/held keep/kept/kept know/knew/known lay/laid/laid lead/led/led leave/left/left lose/lost/lost
    make/made/made mean/meant/meant meet/met/met oversee/oversaw/overseen overthrow/overthrew/overthrown pay/paid/paid
    rise/rose/risen run/ran/run say/said/said see/saw/seen seek/sought/sought sell/sold/sold send/sent/sent
    shoot/shot/shot show/showed/shown sing/sang/sung sink/sank/sunk speak/spoke/spoken spend/spent/spent
    stand/stood/stood steal/stole/stolen strike/struck/struck swim/swam/swum take/took/taken teach/taught/taught
    tell/told/told think/thought/thought undergo/underwent/undergone understand/understood/understood wear/wore/worn
    win/won/won withdraw/withdrew/withdrawn write/wrote/written"""
# Present forms that are hardly ever nouns; the others are left alone ("the game features").
_PRESENT = """belong become begin borrow consist comprise contain cover describe derive exist follow generate host
    include involve know lie occur offer operate own possess produce provide receive refer represent require serve
    speak stretch support teach"""
_PLURAL = """allow believe bring consider create develop differ eat enable ensure enter exceed give grow improve
    indicate influence learn make mean need predict prefer prevent produce range reduce remain replace suggest tend
    think write"""


def _past(base: str) -> str:
    if base.endswith("e"):
        return base + "d"
    if base.endswith("y") and base[-2] not in "aeou":
        return base[:-1] + "ied"
    return (base + base[-1] if base in _DOUBLED else base) + "ed"


def _third(base: str) -> str:
    if base.endswith("y") and base[-2] not in "aeou":
        return base[:-1] + "ies"
    return base + ("es" if base.endswith(("ch", "sh", "s", "x", "o")) else "s")


_FORMS = [tuple(forms.split("/")) for forms in _IRREGULAR.split()]
_ODD = {base for base, _, _ in _FORMS}
PAST: dict[str, str] = {_past(base): base for base in _REGULAR.split() if base not in _ODD}
"""Past form to base form."""
PAST |= {past: base for base, past, _ in _FORMS if past not in ("found", "beat")}
PRESENT: dict[str, str] = {_third(base): base for base in _PRESENT.split()}
"""Third person singular to base form."""
PLURAL = frozenset(_PRESENT.split() + _PLURAL.split()) - {"host", "lie", "offer", "produce", "support", "own"}
"""Base forms that stand as they are behind a subject of several."""
PARTICIPLES: dict[str, str] = {part: past for _, past, part in _FORMS}
"""Past participle to past form, where they differ or do not end in -ed."""


def active_past(participle: str) -> str:
    """The past form of a participle, empty where the word is none: ``written`` gives ``wrote``."""
    word = participle.lower()
    return PARTICIPLES.get(word, word if word.endswith("ed") else "")
