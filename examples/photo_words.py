"""The words of the banks for photographs: what people wear, how they look, and where pictures are taken.

Lists to choose from; :mod:`make_photo_banks` puts them together. Anybody may take them as a start for a bank.
"""

from __future__ import annotations

from typing import NamedTuple

WHO = ("woman", "man", "woman", "man", "person")
AGES = ("twenties", "thirties", "forties", "fifties", "sixties", "seventies")
BUILDS = ("slim", "athletic", "stocky", "plus-size", "tall", "medium-built")
SKINS = ("pale", "light", "olive", "tan", "brown", "deep brown")

HAIR = (
    "short straight", "short curly", "shoulder-length wavy", "long straight", "long curly", "tied-back", "braided",
    "closely cropped", "side-parted", "a headscarf", "a turban", "a shaved head",
)  # fmt: skip
HAIR_COLORS = ("black", "dark brown", "light brown", "blond", "auburn", "grey", "white")
CLOTH_COLORS = ("red", "orange", "mustard", "olive green", "emerald", "sky blue", "navy", "purple", "pink", "grey",
                "black", "white")  # fmt: skip
ACCESSORIES = ("none", "none", "round glasses", "sunglasses", "a hearing aid", "a wristwatch", "a small backpack",
               "a woollen scarf")  # fmt: skip
SHOES = ("white trainers", "brown leather boots", "black shoes", "canvas shoes", "sandals")

TOPS = ("T-shirt", "striped shirt", "woollen jumper", "hooded sweatshirt", "denim jacket", "checked flannel shirt",
        "cardigan", "raincoat", "polo shirt", "blazer", "puffer jacket", "linen tunic")  # fmt: skip
BOTTOMS = ("jeans", "corduroy trousers", "chinos", "knee-length shorts", "loose trousers", "long skirt")
SKIRTS = ("long skirt",)
"""Bottoms that take an article; the other ones are plurals."""


class Outfit(NamedTuple):
    """What is worn in a role: the garment above, its colours to choose from, the garment below, its colour, shoes."""

    top: str
    colors: tuple[str, ...]
    bottom: str
    bottom_color: str
    shoes: str


ROLES = {
    "baker": Outfit("baker's apron over a shirt", ("white", "grey", "sky blue"), "trousers", "black", "black clogs"),
    "ballet dancer": Outfit("leotard", ("black", "pink", "purple"), "tights", "white", "ballet shoes"),
    "basketball player": Outfit(
        "sleeveless jersey", ("red", "emerald", "purple"), "basketball shorts", "white", "high-top trainers"
    ),
    "bricklayer": Outfit(
        "high-visibility vest", ("orange", "mustard", "red"), "work trousers", "navy", "steel-toed boots"
    ),
    "carpenter": Outfit("checked work shirt", ("red", "olive green", "grey"), "dungarees", "sky blue", "work boots"),
    "chef": Outfit("double-breasted chef's jacket", ("white", "black", "grey"), "checked trousers", "grey", "clogs"),
    "climber": Outfit("sports top", ("orange", "purple", "sky blue"), "climbing trousers", "grey", "climbing shoes"),
    "cyclist": Outfit("cycling jersey", ("mustard", "pink", "sky blue"), "cycling shorts", "black", "cycling shoes"),
    "doctor": Outfit("doctor's coat over a shirt", ("white", "pink", "sky blue"), "trousers", "navy", "black shoes"),
    "farmer": Outfit("quilted vest", ("olive green", "navy", "mustard"), "work trousers", "grey", "rubber boots"),
    "firefighter": Outfit(
        "fire jacket with reflective stripes", ("black", "mustard", "navy"), "fire trousers", "black", "heavy boots"
    ),
    "football player": Outfit(
        "football shirt", ("red", "sky blue", "emerald"), "football shorts", "white", "football boots"
    ),
    "gardener": Outfit("canvas apron", ("olive green", "navy", "mustard"), "loose trousers", "grey", "rubber clogs"),
    "hiker": Outfit("fleece jacket", ("orange", "emerald", "purple"), "hiking trousers", "grey", "hiking boots"),
    "judo fighter": Outfit("judo jacket", ("white", "sky blue", "navy"), "judo trousers", "white", "no shoes"),
    "librarian": Outfit("knitted waistcoat", ("mustard", "navy", "pink"), "chinos", "grey", "brown shoes"),
    "mechanic": Outfit("mechanic's jacket", ("navy", "grey", "red"), "work trousers", "navy", "safety shoes"),
    "nurse": Outfit("scrub top", ("sky blue", "emerald", "pink"), "scrub trousers", "navy", "white clogs"),
    "orchestra musician": Outfit("dinner jacket", ("black", "white", "navy"), "trousers", "black", "black shoes"),
    "painter": Outfit("paint-spattered smock", ("white", "sky blue", "grey"), "loose trousers", "navy", "old trainers"),
    "postal worker": Outfit("uniform shirt", ("sky blue", "mustard", "red"), "shorts", "navy", "walking shoes"),
    "runner": Outfit("running vest", ("red", "mustard", "emerald"), "running tights", "black", "running shoes"),
    "scientist": Outfit("laboratory coat", ("white", "sky blue", "grey"), "jeans", "navy", "black shoes"),
    "skier": Outfit("ski jacket", ("red", "purple", "emerald"), "ski trousers", "black", "ski boots"),
    "tailor": Outfit("waistcoat over a shirt", ("grey", "navy", "purple"), "trousers", "black", "brown shoes"),
    "teacher": Outfit("corduroy blazer", ("olive green", "grey", "purple"), "trousers", "navy", "brown shoes"),
    "tennis player": Outfit("tennis polo", ("white", "pink", "navy"), "tennis shorts", "white", "white trainers"),
    "waiter": Outfit("waistcoat over a shirt", ("black", "red", "emerald"), "trousers", "black", "black shoes"),
    "window cleaner": Outfit("work jacket", ("sky blue", "red", "emerald"), "work trousers", "grey", "trainers"),
    "yoga teacher": Outfit("yoga top", ("purple", "emerald", "pink"), "yoga trousers", "grey", "no shoes"),
}

SEASONS = ("in spring", "in summer", "in autumn", "in winter")
OUTDOOR_LIGHT = ("in soft morning light", "under a clear midday sky", "under an overcast sky", "at golden hour",
                 "in light fog", "at dusk")  # fmt: skip
INDOOR_LIGHT = ("daylight from large windows", "warm lamplight", "even studio light", "low evening light")

ALL_YEAR = (
    "a gravel path through a beech forest", "a meadow below snow-capped mountains", "a lakeshore with reeds",
    "a wooden jetty on a still lake", "a rocky coast with a lighthouse", "a sandy beach with dunes",
    "a hillside with dry-stone walls", "an orchard in rows", "a vineyard slope", "a farmyard with a red barn",
    "a country lane between hedges", "a stone bridge over a stream", "a waterfall in a gorge", "a pine forest clearing",
    "a moor with heather", "a river bank with willows", "a birch grove", "a wide grass plain", "an old stone quarry",
    "a garden with trimmed hedges", "a rose garden with a pergola", "a park lawn with old oaks",
    "a pond with stepping stones", "a greenhouse wall with espaliers", "a cobbled lane of old houses",
    "a quiet street of brick terraces", "a canal with moored boats", "a harbour wall with fishing nets",
    "a flight of stone steps between houses", "a courtyard with a fountain", "a whitewashed wall with a blue door",
    "a wall of climbing ivy", "a concrete underpass", "a flat roof above the town", "a glass office facade",
    "a parking deck with painted lines", "a tram stop with a shelter", "an old railway viaduct",
    "a wooden cabin at the edge of a wood", "a windmill on a dyke", "a castle ruin on a hill", "a chapel in a field",
    "a salt marsh with boardwalks", "a pebble beach below chalk cliffs", "a mountain pass road",
    "a ridge with wind turbines",
)  # fmt: skip
DRY = (
    "a desert of red sand", "a canyon with layered rock", "a palm grove beside a lagoon", "a volcanic black beach",
    "a bamboo thicket", "a savanna with acacia trees", "a terraced rice field", "a rainforest trail",
    "a cactus garden", "a mangrove shore", "a limestone cave mouth", "a salt flat", "a turquoise bay with rocks",
    "a eucalyptus wood",
)  # fmt: skip
"""Places without our four seasons."""
INDOOR = (
    "a living room with a bookshelf", "a kitchen with tiled walls", "a hallway with wooden floorboards",
    "a bedroom with a made bed", "a library aisle", "an art gallery with white walls", "a pottery workshop",
    "a carpenter's workshop", "a bicycle repair shop", "a greenhouse with ferns", "a loft with brick walls",
    "a photographer's studio with a paper backdrop", "a laboratory bench", "a school corridor with lockers",
    "a chemistry classroom", "a stone church aisle", "a railway waiting hall", "an airport corridor",
    "a hotel lobby with armchairs", "a bakery counter", "a flower shop", "a record shop", "a museum hall of fossils",
    "a gymnasium with wall bars", "a swimming pool hall", "a dance studio with mirrors", "a climbing hall",
    "an attic with beams", "a winter garden with palms", "a cellar with barrels", "a warehouse with shelves",
    "an office with a desk and plants",
)  # fmt: skip
