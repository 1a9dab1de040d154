"""The chapters of the course: the one list that the first notebook, the README and the tests read."""

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Chapter:
    """A chapter: its number, its title, and the stem of its notebook's file name."""

    number: int
    title: str
    stem: str
    available: bool = False

    @property
    def status(self) -> str:
        """Whether the notebook is there: "available", else "planned"."""
        return "available" if self.available else "planned"


CHAPTERS = (
    Chapter(0, "Start here", "00_start_here", available=True),
    Chapter(1, "Tokenizer (分词器)", "01_tokenizer", available=True),
    Chapter(2, "Normalization (归一化)", "02_normalization", available=True),
    Chapter(3, "Gating and activations (门控与激活)", "03_gating_and_activations", available=True),
    Chapter(4, "RoPE (旋转位置编码)", "04_rope", available=True),
    Chapter(5, "Attention, GQA and the KV cache (注意力)", "05_attention", available=True),
    Chapter(6, "Loss (损失) and softmax stability", "06_loss", available=True),
    Chapter(7, "AdamW against L2 (权重衰减)", "07_adamw_and_l2", available=True),
    Chapter(8, "Muon", "08_muon", available=True),
    Chapter(9, "Learning-rate schedules (学习率调度)", "09_schedules", available=True),
    Chapter(10, "Memmap data (内存映射数据)", "10_memmap_data", available=True),
    Chapter(11, "Resources and hyperparameters (资源计算)", "11_resources", available=True),
    Chapter(12, "Train a language model (综合实验)", "12_train_a_language_model", available=True),
)
"""All chapters in order; a test compares ``available`` with the notebooks that are there."""


def table() -> pd.DataFrame:
    """The chapters as a table. Columns: chapter, title, status."""
    rows = [(chapter.number, chapter.title, chapter.status) for chapter in CHAPTERS]
    return pd.DataFrame(rows, columns=["chapter", "title", "status"])
