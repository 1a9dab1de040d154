"""The exercises of chapter 1."""

from course_lib.chapters.ch01_tokenizer.exercises import assembled, encoding, tokenizer, trainer, unigram

EXERCISES = (
    *tokenizer.EXERCISES,
    *encoding.EXERCISES,
    *trainer.EXERCISES,
    *assembled.EXERCISES,
    *unigram.EXERCISES,
)
