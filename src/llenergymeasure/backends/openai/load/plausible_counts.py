"""The counts of an answer without those that no answer to its request can have."""

from dataclasses import replace

from llenergymeasure.backends.openai.client.count_bounds import most_tokens
from llenergymeasure.backends.openai.client.records import Answer
from llenergymeasure.domain.requests import Request


def plausible(answer: Answer, request: Request) -> Answer:
    """Return the answer without the counts that no answer to this request can have; a count of the output that is
    missing is what the total leaves beside the prompt."""
    counts, (most_input, most_output) = answer.counts, most_tokens(request)
    most_output += sum(map(len, answer.chunk_texts))

    def up_to(most: int, count: int | None) -> int | None:
        return None if count is None or count > most else count

    prompt, cached = up_to(most_input, counts.input_tokens), up_to(most_input, counts.cached_input_tokens)
    total, output = up_to(most_input + most_output, counts.total_tokens), counts.output_tokens
    if output is None and total and prompt is not None:
        beside = cached if cached is not None and cached > prompt else 0
        output = max(total - prompt - beside, 0) or None
    return replace(
        answer,
        chunk_tokens=tuple(up_to(most_output, count) for count in answer.chunk_tokens),
        counts=replace(
            counts,
            input_tokens=prompt,
            cached_input_tokens=cached,
            total_tokens=total,
            output_tokens=up_to(most_output, output),
            other_output_tokens=up_to(most_output, counts.other_output_tokens),
            reasoning_tokens=up_to(most_output, counts.reasoning_tokens),
            rejected_tokens=up_to(most_output, counts.rejected_tokens),
        ),
    )
