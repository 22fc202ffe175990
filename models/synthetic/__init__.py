"""A synthetic shop, so that claims can be tested where the truth is known.

No public data set has pictures, titles, a search log, users with known tastes and a judge of relevance
all at once; and in real logs nobody knows why a user clicked. Here all of it is drawn from a seed:

- what an item is: category, colour, pattern, logo, brand, material, model, price;
- where it can be learnt: pattern and logo from the picture alone; brand, material and model from the text
  alone; category from both; colour from the picture and from half of the titles;
- what users want: queries ask for combinations of these, with synonyms and typos; tastes (colour, pattern,
  brand, price band) and a preference for pictures or for words shape what they click;
- what the log hides: position bias, popularity, clicks on near misses, items nobody was shown.

So "pictures help", "history helps", "hard negatives help" become statements that can be true or false
here, and `Judge` says which. Nothing measured on this shop says how well a model does on real shops.

`make_shop` writes a shop's folder (see `artifacts.shop.schema`) with the ground truth beside it in
``truth.parquet``, ``users.parquet`` and ``queries.parquet``; `Judge` reads it.

::

    lexicon, attributes    the words and the codes of attributes; grades
    catalogue, titles, pictures, silhouettes    items and what shows of them
    users, queries, pools, behaviour            who asks what, and what they click
    make, truth, recipe    the files, and how they were drawn
    judge, parse           reads the truth back; reads queries that are not in the log
"""

from models.synthetic.attributes import RELEVANT
from models.synthetic.judge import Judge, UnknownQueryError
from models.synthetic.make import make_shop
from models.synthetic.recipe import Dials, Recipe, RecipeError

__all__ = ["RELEVANT", "Dials", "Judge", "Recipe", "RecipeError", "UnknownQueryError", "make_shop"]
