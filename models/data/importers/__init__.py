"""Public data sets to shops: one function for each, `import_NAME(source, target, progress)`."""

from models.data.importers.clothing import import_clothing
from models.data.importers.esci import import_esci
from models.data.importers.grocery import import_grocery
from models.data.importers.online_retail import import_online_retail
from models.data.importers.sources import ImportSummary

__all__ = ["ImportSummary", "import_clothing", "import_esci", "import_grocery", "import_online_retail"]
