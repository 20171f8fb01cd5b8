"""What models are asked in the engine's benchmarks."""

from __future__ import annotations

INSTRUCTIONS = (
    "You are a patient tutor. Answer in the learner's own words, give one example from daily life, "
    "and never use a term that you have not explained before. "
) * 4
TOPICS = (
    "tides", "sourdough", "the French revolution", "compound interest", "chess openings",
    "photosynthesis", "sonnets", "the immune system",
)  # fmt: skip
# A sentence of about 37 tokens; the number keeps the sentences apart.
SENTENCE = (
    "{}. The harbour master kept a ledger of every ship that came in, and of some that did not; "
    "on quiet evenings she read their names aloud. "
)
TOKENS_A_SENTENCE = 35
SCHEMA = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "steps": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "what": {"type": "string"},
                    "level": {"enum": ["easy", "middle", "hard"]},
                    "minutes": {"type": "integer"},
                },
                "required": ["what", "level", "minutes"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["title", "steps"],
    "additionalProperties": False,
}


def chat(*turns: str, system: str = INSTRUCTIONS) -> str:
    """A prompt in ChatML, which all listed models know."""
    text = f"<|im_start|>system\n{system}<|im_end|>\n"
    for index, turn in enumerate(turns):
        text += f"<|im_start|>{('user', 'assistant')[index % 2]}\n{turn}<|im_end|>\n"
    return text + "<|im_start|>assistant\n"


def story(num_tokens: int, *, first: int = 0) -> str:
    """About so many tokens; a different text for each `first`."""
    count = num_tokens // TOKENS_A_SENTENCE
    return "".join(SENTENCE.format(first + number) for number in range(count))
