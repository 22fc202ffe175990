"""A relevance teacher: a small cross-encoder of query and item, trained on labels and clicks.

It is too slow to search with, and better at telling near misses from answers than towers that read each side
by itself. So it filters what is mined, adds answers that nobody clicked, is distilled into the towers, and
judges Rele@K where a shop has no labels. `cross_encoder` is the module, `pairs` what it learns from, `stage`
its training, `teacher` a trained one, `answers` what it adds to those that were clicked.
"""

from models.training.teacher.answers import taught_answers
from models.training.teacher.stage import train_teacher
from models.training.teacher.teacher import Teacher, TeacherError, load_teacher

__all__ = ["Teacher", "TeacherError", "load_teacher", "taught_answers", "train_teacher"]
