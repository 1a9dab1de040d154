"""The chapters of the course: the one list: the first notebook shows it, and a test compares the README with it."""

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Chapter:
    """A chapter: its number, its title, the stem of its notebook's file name, and the question it answers.

    A chapter that is too long for one lecture has several notebooks: ``part`` is "" for the first, then "b", "c", …
    """

    number: int
    title: str
    stem: str
    question: str
    part: str = ""

    @property
    def label(self) -> str:
        """Number and part, as in the title: "1", "1b"."""
        return f"{self.number}{self.part}"


CHAPTERS = (
    Chapter(
        0,
        "Start here",
        "00_start_here",
        "Is everything here, and how fast is this machine?",
    ),
    Chapter(
        1,
        "Tokenizer (分词器)",
        "01_tokenizer",
        "Who decides what a number stands for, and what does that decision cost?",
    ),
    Chapter(
        1,
        "The BPE engine (BPE 引擎)",
        "01b_bpe_engine",
        "How is BPE trained and applied without doing the work that its definition asks for?",
        part="b",
    ),
    Chapter(
        2,
        "Normalization (归一化)",
        "02_normalization",
        "What does the place of a norm decide, and what does a norm cost?",
    ),
    Chapter(
        3,
        "Gating and activations (门控与激活)",
        "03_gating_and_activations",
        "What is gained when an activation becomes a gate?",
    ),
    Chapter(
        4,
        "RoPE (旋转位置编码)",
        "04_rope",
        "Where does attention learn where a token is, and how far can it read?",
    ),
    Chapter(
        5,
        "Attention, GQA and the KV cache (注意力)",
        "05_attention",
        "Why does attention decide how fast a model writes?",
    ),
    Chapter(
        6,
        "Loss (损失) and softmax stability",
        "06_loss",
        "How can a loss be right on paper and NaN in the machine?",
    ),
    Chapter(
        7,
        "AdamW against L2 (权重衰减)",
        "07_adamw_and_l2",
        "Which line makes AdamW out of Adam with L2, and when does it matter?",
    ),
    Chapter(
        8,
        "Muon",
        "08_muon",
        "What does an optimizer gain that treats a matrix as a map?",
    ),
    Chapter(
        9,
        "Learning-rate schedules (学习率调度)",
        "09_schedules",
        "Why should a learning rate rise and fall, and does the shape matter?",
    ),
    Chapter(
        10,
        "Memmap data (内存映射数据)",
        "10_memmap_data",
        "How does a corpus larger than memory become batches that training never waits for?",
    ),
    Chapter(
        11,
        "Resources and hyperparameters (资源计算)",
        "11_resources",
        "What will a model cost, before the first step?",
    ),
    Chapter(
        12,
        "Train a language model (综合实验)",
        "12_train_a_language_model",
        "Is a model trained on a laptop any good, and against what is it judged?",
    ),
)
"""All chapters in order; a test compares them with the notebooks and the README."""


def table() -> pd.DataFrame:
    """The chapters as a table. Columns: chapter, title, question."""
    rows = [(chapter.label, chapter.title, chapter.question) for chapter in CHAPTERS]
    return pd.DataFrame(rows, columns=["chapter", "title", "question"])
