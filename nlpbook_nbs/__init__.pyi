# tools/stub.py가 nbs/init.ipynb의 표에서 씁니다. 손으로 고치지 마세요.

from . import core as core
from . import classification as classification
from . import cli as cli
from . import deploy as deploy
from . import generation as generation
from . import mask_attack as mask_attack
from . import ner as ner
from . import paircls as paircls
from . import pretrain as pretrain
from . import qa as qa
from . import search as search
from . import serve as serve
from . import tokenization as tokenization
from . import transformer as transformer
from . import widgets as widgets
from .core.settings import NlpbookError as NlpbookError
from .core.settings import get_profile as get_profile
from .core.settings import set_seed as set_seed
from .core.settings import seed_setting as seed_setting
from .core.settings import set_logger as set_logger
from .core.folders import resolve_model_name as resolve_model_name
from .core.arguments import load_arguments as load_arguments
from .core.corpora import CORPORA as CORPORA
from .core.corpora import download_downstream_dataset as download_downstream_dataset
from .core.corpora import sample_root as sample_root
from .core.exercises import check as check
from .core.progress import progress as progress
from .core.scoreboard import submit as submit
from .core.features import data_collator as data_collator
from .core.frames import corpus_from as corpus_from
from .core.recipes import load as load
from .core.samplers import LengthGroupedSampler as LengthGroupedSampler
from .core.training import get_trainer as get_trainer

__version__: str
__all__ = ["CORPORA", "LengthGroupedSampler", "NlpbookError", "check", "corpus_from", "data_collator", "download_downstream_dataset", "get_profile", "get_trainer", "load", "load_arguments", "progress", "resolve_model_name", "sample_root", "seed_setting", "set_logger", "set_seed", "submit"]
