"""`measure_energy` as a decorator, what a window prints, and windows that are open at once."""

import asyncio
import contextlib
import inspect
import os
import threading
import warnings

import pytest

from llenergymeasure import MeterError, measure_energy

AT_ONCE = "open at the same time"
estimated = measure_energy(source="estimate")


def opened(source="estimate"):
    return measure_energy(source=source)


def test_each_call_of_a_decorated_function_has_a_window_of_its_own():
    @estimated
    def spend(rounds, *, twice=False):
        """Spend time."""
        return sum(range(rounds * (2 if twice else 1)))

    assert (spend(10), spend(3, twice=True)) == (45, 15)
    first, second = spend.measured
    assert first.started_at < second.started_at
    assert [each.energy_source for each in spend.measured] == ["estimate", "estimate"]
    assert (spend.__name__, spend.__doc__) == ("spend", "Spend time.")


def test_without_parentheses_it_measures_as_the_with_block_does_by_default():
    class Worker:
        @measure_energy
        def answer(self):
            return 42

    assert Worker().answer() == 42
    with measure_energy() as window:
        pass
    assert [each.energy_source for each in Worker.answer.measured] == [window.energy_source]


def test_a_coroutine_is_measured_from_its_start_to_its_end():
    @estimated
    async def wait(event):
        await event.wait()
        return len(wait.measured)

    async def run():
        event = asyncio.Event()
        waiting = asyncio.ensure_future(wait(event))
        await asyncio.sleep(0)
        assert len(wait.measured) == 0
        event.set()
        return await waiting

    assert inspect.iscoroutinefunction(wait)
    assert (asyncio.run(run()), len(wait.measured)) == (0, 1)


def test_a_generator_is_measured_from_its_first_step_to_its_end_and_keeps_what_it_is_sent():
    @estimated
    def steps():
        sent = yield 1
        yield sent
        return 3

    def all_of():
        return (yield from steps())

    generator = all_of()
    assert (next(generator), generator.send("x"), len(steps.measured)) == (1, "x", 0)
    with pytest.raises(StopIteration) as end:
        next(generator)
    assert (end.value.value, len(steps.measured)) == (3, 1)
    unfinished = steps()
    next(unfinished)
    unfinished.close()
    assert len(steps.measured) == 2


def test_an_asynchronous_generator_is_measured_too():
    @estimated
    async def steps():
        sent = yield 1
        yield sent

    async def run():
        generator = steps()
        found = [await generator.asend(None), await generator.asend("x"), len(steps.measured)]
        return [*found, *[each async for each in generator]]

    assert inspect.isasyncgenfunction(steps)
    assert (asyncio.run(run()), len(steps.measured)) == ([1, "x", 0], 1)


def test_a_call_that_raises_is_measured_and_its_error_goes_on():
    @estimated
    def fails():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert len(fails.measured) == 1


@pytest.mark.parametrize("thing", [int, 5, "text"])
def test_what_is_no_function_cannot_be_decorated(thing):
    with pytest.raises(TypeError, match="is no function; decorate a function or a method"):
        measure_energy(thing)


def test_a_window_prints_how_far_it_is_and_then_its_figures():
    window = opened()
    assert repr(window) == "<EnergyWindow of estimate, not open>"
    with window:
        assert repr(window).startswith("<EnergyWindow of estimate, open for ")
    assert repr(window) == f"<EnergyWindow: {window.found}>"
    figures = str(window.found)
    assert f"{window.energy_j:.4g} ± {window.energy_uncertainty_j:.2g} J in {window.duration_s:.4g} s" in figures
    assert figures.endswith("(estimate, cpu; not_measured)")
    with opened("none") as unknown:
        pass
    assert str(unknown.found).startswith("energy unknown in ")
    assert repr(unknown.found) == f"<MeteredEnergy: {unknown.found}>"


def test_windows_that_are_open_at_once_say_so_and_python_warns_at_the_line_of_the_later():
    with opened() as outer, pytest.warns(UserWarning, match=AT_ONCE) as caught, opened() as inner:
        pass
    assert [warning.filename for warning in caught] == [__file__]
    for window in (outer, inner):
        assert f"Another energy window of this process was {AT_ONCE}" in window.warnings[-1]


def test_windows_of_several_threads_or_tasks_overlap():
    both_open = threading.Barrier(2)

    @estimated
    def meet():
        both_open.wait(60)

    @estimated
    async def pause():
        await asyncio.sleep(0)

    async def run():
        await asyncio.gather(pause(), pause(), pause())

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        threads = [threading.Thread(target=meet) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        asyncio.run(run())
    assert [AT_ONCE in each.warnings[-1] for each in meet.measured] == [True, True]
    assert ["2 other energy windows of this process were" in each.warnings[-1] for each in pause.measured] == [True] * 3


def test_windows_one_after_another_or_over_other_devices_do_not_overlap():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with opened() as first:
            pass
        with opened() as second, opened("none"):
            pass
    assert [AT_ONCE in text for window in (first, second) for text in window.warnings] == [False, False]


@pytest.mark.slow
def test_a_window_of_a_gpu_and_one_of_the_cpu_count_different_joules(gpus):
    gpus(gpus.board(400.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with opened("nvml_power"), opened():
            pass


def test_a_window_that_cannot_be_opened_overlaps_with_none():
    with contextlib.suppress(MeterError), opened() as window, window:
        pass
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with opened():
            pass


def test_a_window_that_is_open_cannot_be_opened_again():
    with opened() as window, pytest.raises(MeterError, match="is open already: make one for each block"), window:
        pass
    assert window.energy_j is not None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_window_of_the_parent_process_is_none_of_its_childs():
    reads, writes = os.pipe()
    with opened():
        if (child := os.fork()) == 0:
            with warnings.catch_warnings(record=True) as caught, opened():
                pass
            os.write(writes, b"%d" % len(caught))
            os._exit(0)
        os.waitpid(child, 0)
    assert os.read(reads, 1) == b"0"
