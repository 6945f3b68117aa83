"""Published data sets of image files: addresses, MD5 and approximate sizes of their archives.

Addresses and MD5 are from torchvision 0.29.
"""

from __future__ import annotations

from sepcnn.data.listing.listing import natural_key
from sepcnn.data.sources.published.download import PublishedFile
from sepcnn.data.sources.published.image_sets import (
    ImageFolderSet,
    flower_rows,
    food_rows,
    pet_rows,
)

EUROSAT = ImageFolderSet(
    class_names=(
        "AnnualCrop",
        "Forest",
        "HerbaceousVegetation",
        "Highway",
        "Industrial",
        "Pasture",
        "PermanentCrop",
        "Residential",
        "River",
        "SeaLake",
    ),
    counts={"train": 27_000},
    files=(
        PublishedFile(
            "eurosat/EuroSAT.zip",
            "c8fa014336c82ac7804f0398fcb19387",
            94_658_721,
            (
                "https://huggingface.co/datasets/torchgeo/eurosat/resolve/"
                "c877bcd43f099cd0196738f714544e355477f3fd/EuroSAT.zip",
            ),
        ),
    ),
    unpacked=("eurosat/2750",),
    images="eurosat/2750",
)


def _imagenette(name: str, md5: str, size: int) -> ImageFolderSet:
    address = f"https://s3.amazonaws.com/fast-ai-imageclas/{name}.tgz"
    return ImageFolderSet(
        # in the order of the folders: n01440764, n02102040, n02979186, …
        class_names=(
            "tench",
            "English springer",
            "cassette player",
            "chain saw",
            "church",
            "French horn",
            "garbage truck",
            "gas pump",
            "golf ball",
            "parachute",
        ),
        counts={"train": 9_469, "val": 3_925},
        files=(PublishedFile(f"{name}.tgz", md5, size, (address,)),),
        unpacked=(name,),
        images=name,
        renamed=True,
    )


IMAGENETTE = {
    "full": _imagenette("imagenette2", "fe2fc210e6bb7c5664d602c3cd71e612", 1_557_161_267),
    "320px": _imagenette("imagenette2-320", "3df6f0d01a2c9592104656642f5e78a3", 341_663_724),
    "160px": _imagenette("imagenette2-160", "e793b78cc4c9e9a4ccc0c1155377a412", 99_003_388),
}
IMAGENET = ImageFolderSet(
    class_names=(),
    counts={"train": 1_281_167, "val": 50_000},
    files=(),
    unpacked=(),
    images=".",
)
FOOD101 = ImageFolderSet(
    class_names=(),
    counts={"train": 75_750, "test": 25_250},
    files=(
        PublishedFile(
            "food-101.tar.gz",
            "85eeb15f3717b99a5da872d97d918f87",
            4_996_278_331,
            ("http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz",),
        ),
    ),
    unpacked=("food-101",),
    images="food-101/images",
    rows=food_rows,
)
PETS = ImageFolderSet(
    class_names=(),
    counts={"train": 3_680, "test": 3_669},
    files=tuple(
        PublishedFile(
            f"oxford-iiit-pet/{name}.tar.gz",
            md5,
            size,
            (
                f"https://www.robots.ox.ac.uk/~vgg/data/pets/data/{name}.tar.gz",
                f"https://thor.robots.ox.ac.uk/datasets/pets/{name}.tar.gz",
            ),
        )
        for name, md5, size in (
            ("images", "5c4f3ee8e5d25df40f4fd59a7f44e54c", 791_918_971),
            ("annotations", "95a8c909bbe2e81eed6a22bccdf3f68f", 19_173_078),
        )
    ),
    unpacked=("oxford-iiit-pet/images", "oxford-iiit-pet/annotations"),
    images="oxford-iiit-pet/images",
    rows=pet_rows,
)

_FLOWERS = """
    pink primrose; hard-leaved pocket orchid; canterbury bells; sweet pea; english marigold;
    tiger lily; moon orchid; bird of paradise; monkshood; globe thistle; snapdragon; colt's
    foot; king protea; spear thistle; yellow iris; globe-flower; purple coneflower; peruvian
    lily; balloon flower; giant white arum lily; fire lily; pincushion flower; fritillary; red
    ginger; grape hyacinth; corn poppy; prince of wales feathers; stemless gentian; artichoke;
    sweet william; carnation; garden phlox; love in the mist; mexican aster; alpine sea holly;
    ruby-lipped cattleya; cape flower; great masterwort; siam tulip; lenten rose; barbeton
    daisy; daffodil; sword lily; poinsettia; bolero deep blue; wallflower; marigold; buttercup;
    oxeye daisy; common dandelion; petunia; wild pansy; primula; sunflower; pelargonium; bishop
    of llandaff; gaura; geranium; orange dahlia; pink-yellow dahlia?; cautleya spicata; japanese
    anemone; black-eyed susan; silverbush; californian poppy; osteospermum; spring crocus;
    bearded iris; windflower; tree poppy; gazania; azalea; water lily; rose; thorn apple;
    morning glory; passion flower; lotus; toad lily; anthurium; frangipani; clematis; hibiscus;
    columbine; desert-rose; tree mallow; magnolia; cyclamen; watercress; canna lily;
    hippeastrum; bee balm; ball moss; foxglove; bougainvillea; camellia; mallow; mexican
    petunia; bromelia; blanket flower; trumpet creeper; blackberry lily
"""
FLOWER_NAMES = tuple(" ".join(name.split()) for name in _FLOWERS.split(";"))
"""in the order of the published labels, as in torchvision"""

FLOWERS102 = ImageFolderSet(
    class_names=tuple(sorted(FLOWER_NAMES, key=natural_key)),
    counts={"train": 1_020, "val": 1_020, "test": 6_149},
    files=tuple(
        PublishedFile(
            f"flowers-102/{name}",
            md5,
            size,
            (f"https://www.robots.ox.ac.uk/~vgg/data/flowers/102/{name}",),
        )
        for name, md5, size in (
            ("102flowers.tgz", "52808999861908f626f3c1f4e79d11fa", 344_862_509),
            ("imagelabels.mat", "e0620be6f572b9609742df49c70aed4d", 502),
            ("setid.mat", "a5357ecc9cb78c4bef273ce3793fc85c", 14_989),
        )
    ),
    unpacked=("flowers-102/jpg",),
    images="flowers-102/jpg",
    rows=flower_rows(FLOWER_NAMES),
    needs_scipy="Flowers102",
)

IMAGE_FOLDER_SETS: dict[str, ImageFolderSet] = {
    "EuroSAT": EUROSAT,
    "Flowers102": FLOWERS102,
    "OxfordIIITPet": PETS,
    "Imagenette": IMAGENETTE["full"],
    "Food101": FOOD101,
    "ImageNet": IMAGENET,
}
