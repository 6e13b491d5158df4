"""Rows of each task with a rule that a small random model can learn."""

from __future__ import annotations

import random

from limbeck.data import Answer
from limbeck.forge.questions import QuestionSet, question_set
from limbeck.forge.sentences import SentenceSet, sentence_set
from limbeck.forge.tagged import TaggedSet, tagged_set

PEOPLE = ["anna", "claire", "david", "emma", "peter", "sofia", "thomas"]
SURNAMES = ["stone", "summer", "winter"]
TOWNS = ["berlin", "lisbon", "london", "paris", "rome", "vienna"]
FILLER = ["the", "house", "room", "view", "walk", "was", "very", "near", "old", "rain"]
TOPICS = [["bread", "eat", "lunch", "tea"], ["train", "bus", "road", "car"], ["sun", "rain", "sea"]]


def tags(count: int, seed: int = 0) -> TaggedSet:
    """Names of people, some of two words, and of towns."""
    draw = random.Random(seed)
    sentences = []
    for _ in range(count):
        words, given = [], []
        for _ in range(draw.randint(3, 8)):
            kind = draw.random()
            if kind < 0.2:
                words += [draw.choice(PEOPLE), draw.choice(SURNAMES)][: 2 if kind < 0.1 else 1]
                given += ["B-PER", "I-PER"][: 2 if kind < 0.1 else 1]
            elif kind < 0.4:
                words.append(draw.choice(TOWNS))
                given.append("B-LOC")
            else:
                words.append(draw.choice(FILLER))
                given.append("O")
        sentences.append((words, given))
    return tagged_set(sentences, ("O", "B-LOC", "B-PER", "I-PER"))


def questions(count: int, seed: int = 0, longest: int = 20) -> QuestionSet:
    """Who: the person of the context; where: its town; some contexts do not tell."""
    draw = random.Random(seed)
    rows = []
    for _ in range(count):
        words = draw.choices(FILLER, k=draw.randint(6, longest))
        person, town = draw.choice(PEOPLE), draw.choice(TOWNS)
        for name in (person, town):
            words.insert(draw.randint(0, len(words)), name)
        question, name = draw.choice([("who was it ?", person), ("where was it ?", town)])
        context = " ".join(words)
        answers: tuple[Answer, ...] = (Answer(text=name, start=context.index(name)),)
        if draw.random() < 0.1:
            context = " ".join(word for word in words if word != name)
            answers = ()
        rows.append((question, context, answers))
    return question_set(rows)


def sentences(count: int, seed: int = 0) -> SentenceSet:
    """Pairs are alike where their topic is the same."""
    draw = random.Random(seed)
    rows = []
    for _ in range(count):
        first, second = draw.choices(range(len(TOPICS)), k=2)
        some = [
            " ".join(
                draw.choices(TOPICS[topic], k=3) + draw.choices(FILLER[:6], k=draw.randint(1, 6))
            )
            for topic in (first, second)
        ]
        rows.append((some[0], some[1], float(first == second)))
    return sentence_set(rows)
