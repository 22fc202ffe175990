"""Public data sets to shops: one function for each, `import_NAME(source, target, progress)`.

Each takes a folder in one of two layouts, cut down or as published, writes the shop to ``target``, calls
``progress`` with the rows done, and raises `DataError` where the folder has neither layout or a file is
damaged.
"""

from artifacts.shop.importers.clothing import import_clothing
from artifacts.shop.importers.esci import import_esci
from artifacts.shop.importers.grocery import import_grocery
from artifacts.shop.importers.online_retail import import_online_retail
from artifacts.shop.importers.sources import ImportSummary

__all__ = ["ImportSummary", "import_clothing", "import_esci", "import_grocery", "import_online_retail"]
