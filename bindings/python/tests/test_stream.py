"""Replies while they are made, for loops and for coroutines."""

from __future__ import annotations

import asyncio
import gc

import pytest

import torchless
from torchless import Model


def test_pieces_make_up_the_reply(story: Model) -> None:
    want = story.generate("Once upon a time", max_tokens=20)
    stream = story.stream("Once upon a time", max_tokens=20)
    assert stream.reply is None
    pieces = list(stream)
    assert len(pieces) > 5 and "".join(pieces) == want.text
    assert stream.reply is not None and stream.reply.token_ids == want.token_ids
    assert list(stream) == []


def test_events_tell_more_than_text(story: Model) -> None:
    events = list(story.stream("Once upon a time", max_tokens=3).events())
    assert (events[0].kind, events[0].value) == ("prompt", (5, 5))
    assert events[-1].kind == "done" and isinstance(events[-1].value, torchless.Reply)
    text = "".join(event.value for event in events if event.kind == "text")
    assert text == events[-1].value.text


def endless(model: Model) -> torchless.Stream:
    """A reply that its own end does not end soon."""
    assert model.eos_token is not None
    return model.stream("Once upon a time", max_tokens=500, logit_bias={model.eos_token: -100})


def test_a_cancelled_reply_ends_early(story: Model) -> None:
    stream = endless(story)
    next(stream)
    stream.cancel()
    list(stream)
    assert stream.reply is not None
    assert stream.reply.finish_reason == "cancelled" and stream.reply.reply_tokens < 500


def test_leaving_the_block_ends_the_reply(story: Model) -> None:
    with endless(story) as stream:
        for _ in stream:
            break
    list(stream)
    assert stream.reply is not None and stream.reply.finish_reason == "cancelled"


def test_a_stream_that_is_dropped_does_no_harm(story: Model) -> None:
    stream = endless(story)
    next(stream)
    del stream
    gc.collect()
    # The one sequence that there is room for is free again.
    assert story.generate("One day", max_tokens=2).reply_tokens == 2


def test_a_stream_outlives_its_model() -> None:
    model = Model.open(threads=1)
    stream = model.stream("Once upon a time", max_tokens=30)
    next(stream)
    model.close()
    del model
    gc.collect()
    list(stream)
    assert stream.reply is not None and stream.reply.reply_tokens == 30


def test_errors_come_from_the_call(story: Model) -> None:
    with pytest.raises(torchless.UsageError, match="the context holds"):
        story.stream("word " * 2000)


def test_coroutines_read_streams(story: Model) -> None:
    want = story.generate("Once upon a time", max_tokens=20).text

    async def read() -> str:
        stream = story.stream("Once upon a time", max_tokens=20)
        return "".join([piece async for piece in stream])

    assert asyncio.run(read()) == want


def test_the_loop_runs_on_while_a_reply_is_made(story: Model) -> None:
    async def both() -> int:
        ticks = 0
        done = asyncio.Event()

        async def tick() -> None:
            nonlocal ticks
            while not done.is_set():
                ticks += 1
                await asyncio.sleep(0)

        ticking = asyncio.ensure_future(tick())
        reply = await story.generate_async("Once upon a time", max_tokens=40)
        done.set()
        await ticking
        assert reply.reply_tokens == 40
        return ticks

    assert asyncio.run(both()) > 40


def test_many_streams_at_once(story: Model) -> None:
    want = story.generate("Once upon a time", max_tokens=8).text

    async def all_of_them() -> list[str]:
        made = [story.generate_async("Once upon a time", max_tokens=8) for _ in range(40)]
        return [reply.text for reply in await asyncio.gather(*made)]

    assert asyncio.run(all_of_them()) == [want] * 40


def test_cancelling_the_task_ends_the_reply(story: Model) -> None:
    async def begin_and_cancel() -> torchless.Stream:
        stream = endless(story)
        begun = asyncio.Event()

        async def read() -> None:
            async for _ in stream:
                begun.set()

        task = asyncio.ensure_future(read())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return stream

    stream = asyncio.run(begin_and_cancel())
    list(stream)
    assert stream.reply is None or stream.reply.finish_reason == "cancelled"


def test_conversations_for_coroutines(chatty: Model) -> None:
    messages = [{"role": "user", "content": "Tell me a story."}]
    want = chatty.chat(messages, max_tokens=6).text
    assert asyncio.run(chatty.chat_async(messages, max_tokens=6)).text == want
