"""The explorers of chapters 2 to 12, and the notebook cell that they need to run.

Expected descriptions are computed by formula or by a library, not by the explorer. Data that a chapter trains for is
replaced by random numbers.
"""

from pathlib import Path

from tests.browser import explorers_02_to_05, explorers_06_to_09, explorers_10_to_12

ROOT = Path(__file__).parents[2]
SETUP = f"""import sys
import numpy as np
import torch
sys.path.append({str(ROOT)!r})
from course_lib import show
from course_lib.chapters.ch02_normalization import explorers as ch02
from course_lib.chapters.ch03_gating import explorers as ch03
from course_lib.chapters.ch04_rope import explorers as ch04
from course_lib.chapters.ch05_attention import explorers as ch05
from course_lib.chapters.ch06_loss import explorers as ch06
from course_lib.chapters.ch07_adamw_and_l2 import explorers as ch07
from course_lib.chapters.ch08_muon import explorers as ch08
from course_lib.chapters.ch10_memmap_data import explorers as ch10
from course_lib.chapters.ch11_resources import explorers as ch11
from course_lib.chapters.ch12_capstone import explorers as ch12
from course_lib.chapters.ch09_schedules import explorers as ch09
from course_lib.chapters.ch02_normalization.experiments import normalization
from course_lib.chapters.ch03_gating.experiments import activations
from course_lib.chapters.ch05_attention.experiments import roofline
from course_lib.chapters.ch06_loss.experiments import cross_entropy
from course_lib.chapters.ch07_adamw_and_l2.experiments import weight_decay
from course_lib.chapters.ch08_muon.experiments import newton_schulz
from course_lib.chapters.ch09_schedules.experiments import bowl, shapes
from course_lib.chapters.ch12_capstone.experiments import ablations
from course_lib.lab import step_memory
from tests.browser import explorer_data as data
torch.set_num_threads(1)"""

CASES = (*explorers_02_to_05.CASES, *explorers_06_to_09.CASES, *explorers_10_to_12.CASES)
