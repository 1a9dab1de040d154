"""The exercises of chapter 1."""

from course_lib.chapters.ch01_tokenizer.exercises import encoding, tokenizer, unigram

EXERCISES = (*tokenizer.EXERCISES, *encoding.EXERCISES, *unigram.EXERCISES)
