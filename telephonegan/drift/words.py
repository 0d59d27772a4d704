"""Content words: the words of a caption that carry meaning, their kinds, and which of them survive.

Words are compared by spelling: "dog" and "dogs" are two words, unless `lemma` makes them one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Literal, get_args

import numpy as np

from telephonegan.drift.references import all_pairs
from telephonegan.drift.statistics import Curves
from telephonegan.drift.tracks import Track, Words
from telephonegan.errors import SettingsError
from telephonegan.evaluation.word_effects import KINDS as EXCHANGEABLE

WordKind = Literal["colour", "number", "object", "action", "other"]
WORD_KINDS: tuple[WordKind, ...] = get_args(WordKind)


@dataclass(frozen=True)
class Changes:
    """Content words of two captions: in both (`kept`), only in the earlier (`lost`), only in the later (`gained`).

    `kept` and `lost` are in the order of the earlier caption, `gained` in that of the later one.
    """

    kept: tuple[str, ...]
    lost: tuple[str, ...]
    gained: tuple[str, ...]

    @classmethod
    def of(cls, earlier: Sequence[str], later: Sequence[str]) -> Changes:
        """What happened to the content words between two captions, given as lower-case words.

        >>> Changes.of("a red ball on the sand".split(), "a blue ball on the beach".split())
        Changes(kept=('ball',), lost=('red', 'sand'), gained=('blue', 'beach'))
        """
        before, after = content_words(earlier), content_words(later)
        return cls(
            kept=tuple(word for word in before if word in after),
            lost=tuple(word for word in before if word not in after),
            gained=tuple(word for word in after if word not in before),
        )


def content_words(words: Sequence[str]) -> tuple[str, ...]:
    """The words that carry meaning, without duplicates, in the order of the caption. Function words are left out.

    Raises SettingsError for a text that is not split into words.

    >>> content_words("a man and a dog in the snow".split())
    ('man', 'dog', 'snow')
    """
    if isinstance(words, str):
        raise SettingsError(f"The text {words!r} was given. Give a list of words: a caption's .words, or text.split().")
    return tuple(dict.fromkeys(word for word in words if word not in FUNCTION_WORDS))


def kind_of(word: str) -> WordKind:
    """The kind of a content word: "colour", "number", "object", "action" or "other".

    Ambiguous words have the kind that is most common in captions of photographs. Objects are recognised in singular and
    plural; an unknown word ending in "-ing" is an action.

    >>> [kind_of(word) for word in ("red", "two", "dogs", "running", "happy")]
    ['colour', 'number', 'object', 'action', 'other']
    """
    if word in COLOURS:
        return "colour"
    if word in NUMBERS or word.isdecimal():
        return "number"
    if word in ACTIONS:
        return "action"
    if not OBJECTS.isdisjoint(_singulars(word)):
        return "object"
    return "action" if word.endswith("ing") and len(word) > len("ring") else "other"


def lemma(word: str) -> str:
    """The dictionary form of a word, by rules and the lists of this file: "dogs" → "dog", "running" and "ran" → "run".

    Covers plural nouns and forms of verbs whose base is listed here; other words are returned unchanged.

    >>> [lemma(word) for word in ("dogs", "children", "running", "rides", "sat", "snow", "glasses")]
    ['dog', 'child', 'run', 'ride', 'sit', 'snow', 'glasses']
    """
    if word in PLURALS or word in PAST_FORMS:
        return PLURALS.get(word) or PAST_FORMS[word]
    if word in NO_PLURALS:
        return word
    singulars = sorted((OBJECTS & _singulars(word)) - {word}, key=len)
    if word not in ACTIONS and (singulars or word in OBJECTS):
        return singulars[-1] if singulars else word
    bases = _verb_bases(word)
    listed = [base for base in bases if base in (ACTIONS | OBJECTS if word in ACTIONS else ACTIONS)]
    listed += [base for base in sorted(bases, key=len) if not ACTIONS.isdisjoint((f"{base}s", f"{base}es"))]
    return listed[0] if listed else word


def survival(
    tracks: Sequence[Track], kind_of: Callable[[str], str | None], *, form: Callable[[str], str] = str
) -> dict[str, Curves]:
    """For each kind, the share (0 to 1) of a chain's words of round 0 that are in its caption of round t.

    `kind_of` gives a word's kind, or None for words that do not count. Words with the same `form`, such as `lemma`
    (default: their spelling), are equal. The share is NaN for a chain without a word of the kind in round 0; kinds that
    no chain has in round 0 are left out. Kinds are sorted by name, chains are in the given order.

    >>> from telephonegan.drift.tracks import Turn
    >>> track = Track("x", "x", 0, (Turn(0, ("red", "dog")), Turn(1, ("a", "dog"))))
    >>> survival([track], {"red": "colour", "dog": "object"}.get)["colour"].values
    array([[1., 0.]])
    """
    rounds = sorted({turn.round for track in tracks for turn in track.turns})
    names, sources = tuple(track.chain for track in tracks), tuple(track.source for track in tracks)
    shares = {kind: np.full((len(tracks), len(rounds)), np.nan) for kind in _kinds(tracks, kind_of)}
    words_of = cache(lambda words: frozenset(map(form, words)))
    column = {number: t for t, number in enumerate(rounds)}
    for kind, values in shares.items():
        for i, track in enumerate(tracks):
            start = _of_kind(track.turns[0].words, kind, kind_of, form)
            for turn in track.turns if start else ():
                values[i, column[turn.round]] = len(start & words_of(turn.words)) / len(start)
    return {kind: Curves(names, sources, np.array(rounds), values) for kind, values in shares.items()}


def chance_survival(
    tracks: Sequence[Track],
    kind_of: Callable[[str], str | None],
    *,
    form: Callable[[str], str] = str,
    rounds: Sequence[int] | np.ndarray,
) -> dict[str, np.ndarray]:
    """For each kind, the share of the words of source i's round 0 that source j says in each of `rounds`: (S,S,T).

    `Resamples.pair_means`, which leaves out i = j, makes it the `survival` to expect by chance. Sources are in
    alphabetical order; a value is the mean over the seeds that both have, NaN if source i has no word of the kind.

    >>> from telephonegan.drift.tracks import Turn
    >>> tracks = [Track(name, name, 0, (Turn(0, (name,)), Turn(1, ("a",)))) for name in ("a", "b")]
    >>> chance_survival(tracks, lambda word: "all", rounds=[1])["all"][:, :, 0].tolist()
    [[1.0, 1.0], [0.0, 0.0]]
    """
    words_of = cache(lambda words: frozenset(map(form, words)))

    def shares(kind: str, starts: Sequence[Words], others: Sequence[Words]) -> np.ndarray:
        wanted = cache(lambda words: frozenset(_of_kind(words, kind, kind_of, form)))
        pairs = ((wanted(start), words_of(other)) for start, other in zip(starts, others, strict=True))
        return np.array([len(start & other) / len(start) if start else np.nan for start, other in pairs])

    return {kind: all_pairs(tracks, partial(shares, kind), rounds=rounds) for kind in _kinds(tracks, kind_of)}


def _kinds(tracks: Sequence[Track], kind_of: Callable[[str], str | None]) -> list[str]:
    """The kinds of words in round 0 of the chains."""
    return sorted({kind for track in tracks for kind in map(kind_of, track.turns[0].words) if kind is not None})


def _of_kind(words: Words, kind: str, kind_of: Callable[[str], str | None], form: Callable[[str], str]) -> set[str]:
    return {form(word) for word in words if kind_of(word) == kind}


def _verb_bases(word: str) -> list[str]:
    """Possible bases of a verb form in -ing, -ed or -s: for "running" runn, runne and run."""
    endings = () if word.endswith("ss") else ("ing", "ed", "s", "es")
    stems = [word[: -len(ending)] for ending in endings if word.endswith(ending) and len(word) - len(ending) > 1]
    bases = [base for stem in stems for base in (stem, f"{stem}e", stem[:-1] if stem[-1:] == stem[-2:-1] else stem)]
    return [*bases, word[:-3] + "y"] if word.endswith(("ies", "ied")) else bases


def _singulars(word: str) -> set[str]:
    """The word and its possible singulars."""
    found = {word, PLURALS.get(word, word)}
    if word.endswith("s"):
        found.add(word[:-1])
    if word.endswith("es"):
        found.add(word[:-2])
    if word.endswith("ies"):
        found.add(word[:-3] + "y")
    return found


def _listed(words: str) -> frozenset[str]:
    return frozenset(words.split())


FUNCTION_WORDS = _listed(
    """
    a an the this that these those there here each every either neither such own same another other others both i me
    my mine myself you your yours yourself he him his himself she her hers herself it its itself we us our ours they
    them their theirs themselves who whom whose which what someone something anyone anything everyone and or but nor
    so yet if than then as because while whilst although though when where whether how why of in on at to from by
    with without within for about against between among amongst amidst into onto upon over under above below beneath
    underneath through throughout across along alongside around behind before after beside besides beyond near next
    off out up down inside outside toward towards past until till during per via like atop is are am was were be
    been being do does did done has have had having will would shall should can could may might must s t d ll m re
    ve also very just only too even again still together away ahead apart some all any
    """
)
COLOURS = frozenset(EXCHANGEABLE["colour"]) | _listed(
    """
    gray gold golden silver tan beige maroon turquoise violet khaki navy teal cream bronze brunette blond blonde
    colour colours color colors colored coloured colorful colourful multicolored multicoloured
    """
)
NUMBERS = _listed(
    """
    zero one two three four five six seven eight nine ten eleven twelve dozen hundred several many few multiple
    single pair half first second third
    """
)
# In the singular, except for words without one.
OBJECTS = frozenset().union(*(words for kind, words in EXCHANGEABLE.items() if kind != "colour")) | _listed(
    """
    person people adult kid child toddler infant teenager teen lady guy gentleman male female mother father mom dad
    parent son daughter brother sister sibling friend couple family group crowd team audience spectator player
    athlete runner biker cyclist bicyclist motorcyclist rider driver racer skateboarder skater snowboarder skier
    surfer swimmer diver climber hiker wrestler boxer dancer singer musician performer worker officer policeman
    soldier cowboy clown artist photographer passenger pedestrian student teacher bride groom referee goalie pitcher
    catcher coach cheerleader hockey football baseball basketball soccer tennis volleyball rugby golf cricket
    softball lacrosse animal puppy kitten pup greyhound retriever terrier poodle collie shepherd bull goat pig lamb
    duck goose swan pigeon seagull fish shark bear tiger lion monkey deer rabbit mouse squirrel camel turtle insect
    butterfly hair face head eye ear nose mouth lip tooth tongue beard mohawk mustache neck shoulder arm elbow hand
    finger thumb chest back stomach body leg knee foot paw tail fur skin clothes clothing outfit costume attire
    jacket vest hoodie sweatshirt tee jersey jean jeans pants shorts trousers overalls skirt gown robe kimono tuxedo
    tie scarf bandana bandanna headband headscarf cap glove mitten sock shoe boot sneaker sandal flop heel belt
    buckle swimsuit bikini trunk trunks wetsuit snowsuit underwear pajamas diaper apron glasses sunglasses goggles
    mask wig tattoo necklace bracelet earring jewelry harness leash collar muzzle pack backpack bag purse basket
    bucket box bin suitcase luggage toy doll puppet balloon bubble bat racket racquet club net goal hoop hurdle disc
    puck sled sleigh ski snowboard skate rollerblade scooter unicycle tricycle bicycle motorbike dirtbike atv
    snowmobile wheelchair stroller wagon cart carriage tractor jeep van taxi cab ambulance vehicle wheel tire engine
    airplane plane jet helicopter parachute rocket ship canoe kayak raft ferry sailboat paddle oar sail anchor
    subway trolley tram rail railing camera phone cellphone telephone computer laptop television tv radio microphone
    guitar violin piano drum drums trumpet flute instrument headphones book newspaper magazine paper sign flag
    banner poster picture photo photograph painting drawing graffiti statue sculpture monument fountain food meal
    breakfast lunch dinner bread sandwich burger hotdog soup salad egg meat chicken cheese rice fruit apple carrot
    vegetable candy cookie chocolate pie cupcake icecream popcorn snack beer wine coffee tea soda juice milk bottle
    cup glass mug bowl plate tray fork knife spoon pan pot stove oven refrigerator microwave sink toilet bathtub
    shower mirror towel toothbrush soap table desk couch sofa stool seat bed pillow blanket rug carpet mat lamp
    light candle clock vase shelf door doorway window curtain wall floor ceiling roof stair stairs staircase step
    escalator ladder fence gate pole post chain wire hose pipe tube barrel crate cone barrier block brick wood log
    branch stump leaf leaves bush hedge tree plant flower tulip rose hay straw rock stone boulder pebble gravel
    concrete pavement cement asphalt cobblestone sky cloud sun sunset sunrise moon star rainbow rain storm fog smoke
    fire flame wave splash puddle stream creek river lake pond ocean sea shore shoreline coast waterfall rapids
    island cliff canyon cave ledge hill hillside slope dune peak mountainside valley desert jungle woods meadow
    grassland pasture lawn yard backyard garden farm barn park playground playpen slide swing seesaw trampoline ramp
    halfpipe carnival circus zoo ground landscape terrain path trail track racetrack road roadway highway lane
    sidewalk walkway crosswalk intersection curb driveway alley bridge tunnel dock pier boardwalk harbor station
    stop platform airport garage court arena stadium gym rink ring stage theater bleachers scoreboard course
    building house home cabin hut tent tower skyscraper church temple castle school office hospital hotel restaurant
    cafe bar pub store shop market mall library museum room bedroom bathroom hallway lobby porch balcony deck patio
    town village neighborhood country game match parade festival party wedding birthday concert competition event
    trick stunt string ribbon cloth fabric sheet leather metal plastic rubber camouflage tank gun sword weapon tool
    shovel broom hammer machine equipment gear obstacle object structure thing item pile device king morning evening
    night day air board cigarette sprinkler police santa band bank mound art music counter hole video traffic
    """
)
ACTIONS = _listed(
    """
    run runs ran jump jumps jumped leap leaps leapt play plays played stand stands stood sit sits sat seated walk
    walks walked ride rides rode look looks looked hold holds held wear wears wore worn swim swims swam climb climbs
    climbed catch catches caught throw throws threw thrown kick kicks kicked hit hits smile smiles smiled laugh
    laughs laughed pose poses posed dance dances danced sing sings sang eat eats ate eaten drink drinks drank jog
    jogs chase chases chased fight fights fought wrestle wrestles tackle tackles tackled bite bites bit chew chews
    lick licks sniff sniffs bark barks carry carries carried pull pulls pulled push pushes pushed lift lifts lifted
    raise raises raised lean leans leaned lay lays lie lies laid sleep sleeps slept rest rests kneel kneels crouch
    crouches squat squats crawl crawls fall falls fell fallen fly flies flew flown float floats dive dives dived
    surf surfs skis skates skateboards snowboards swung spin spins flip flips roll rolls bounce bounces balance
    balances grind grinds land lands perform performs performed attempt attempts try tries tried use uses used make
    makes made take takes took taken give gives gave get gets got go goes went come comes came move moves moved turn
    turns turned cross crosses crossed pass passes passed enter enters leave leaving follow follows followed lead
    leads led reach reaches reached hang hangs hung cover covers covered surround surrounds surrounded fill filled
    watch watches watched see sees saw seen stare stares point points wait waits gather gathers gathered talk talks
    talked speak speaks read reads write writes show shows shown display displays paint paints draw draws cook cooks
    cut cuts dig digs build builds shoot shoots swat race races raced compete competes practice practices prepare
    prepares enjoy enjoys kiss kisses hug hugs embrace touch touches pet pets feed feeds shake shakes splashes spray
    sprays blow blows retrieve retrieves fetch fetches grab grabs pick picks put puts dressed parked
    """
)
PLURALS = {
    "men": "man",
    "women": "woman",
    "children": "child",
    "policemen": "policeman",
    "firemen": "fireman",
    "snowmen": "snowman",
    "teeth": "tooth",
    "feet": "foot",
    "geese": "goose",
    "mice": "mouse",
    "knives": "knife",
    "leaves": "leaf",
}
# They end in -s, but have no singular of the same meaning.
NO_PLURALS = _listed("glasses goggles clothes jeans pants trousers shorts overalls bleachers rapids woods")
PAST_FORMS = {
    form: base
    for base, forms in {
        "run": "ran",
        "stand": "stood",
        "sit": "sat seated",
        "ride": "rode ridden",
        "hold": "held",
        "wear": "wore worn",
        "swim": "swam",
        "catch": "caught",
        "throw": "threw thrown",
        "sing": "sang",
        "eat": "ate eaten",
        "drink": "drank",
        "fight": "fought",
        "bite": "bit bitten",
        "lie": "lies lying",
        "lay": "laid",
        "sleep": "slept",
        "leap": "leapt",
        "fall": "fell fallen",
        "fly": "flew flown",
        "swing": "swung",
        "make": "made",
        "take": "took taken",
        "give": "gave given",
        "get": "got",
        "go": "went gone",
        "come": "came",
        "lead": "led",
        "hang": "hung",
        "see": "saw seen",
        "speak": "spoke spoken",
        "draw": "drew drawn",
        "dig": "dug",
        "build": "built",
        "shoot": "shot",
        "shake": "shook shaken",
        "blow": "blew blown",
        "feed": "fed",
    }.items()
    for form in forms.split()
}
