from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch

from solar_pyserver import sampling
from solar_pyserver.sampling import RowSampler, SamplingParams, choose, filter_sorted, logprobs_of


def kept(probabilities: list[float], **wishes: Any) -> list[int]:
    """The ranks that the filters leave."""
    left = filter_sorted(torch.tensor([probabilities]), [SamplingParams(**wishes)])
    return [rank for rank, value in enumerate(left[0].tolist()) if value > 0]


def test_top_k_keeps_the_k_likeliest() -> None:
    assert kept([0.4, 0.3, 0.2, 0.1], top_k=2) == [0, 1]


def test_top_p_keeps_the_fewest_that_reach_the_share() -> None:
    assert kept([0.4, 0.3, 0.2, 0.1], top_p=0.6) == [0, 1]
    assert kept([0.4, 0.3, 0.2, 0.1], top_p=0.0) == [0]


def test_top_p_is_a_share_of_what_top_k_left() -> None:
    # of 0.4 and 0.3 the first is 0.57, so that 0.55 is reached by it alone
    assert kept([0.4, 0.3, 0.2, 0.1], top_k=2, top_p=0.55) == [0]
    assert kept([0.4, 0.3, 0.2, 0.1], top_p=0.55) == [0, 1]


def test_min_p_is_measured_by_the_likeliest() -> None:
    assert kept([0.5, 0.3, 0.15, 0.05], min_p=0.4) == [0, 1]


def draw(logits: torch.Tensor, count: int, **wishes: Any) -> Counter[int]:
    rows = [RowSampler(SamplingParams(seed=at, **wishes), []) for at in range(count)]
    tokens = choose(logits.expand(count, -1).clone(), rows)
    assert None not in tokens
    return Counter(token for token in tokens if token is not None)


def test_samples_follow_the_distribution() -> None:
    probabilities = torch.tensor([0.5, 0.3, 0.2])
    counts = draw(probabilities.log()[None], 4000)
    assert [counts[at] / 4000 for at in range(3)] == pytest.approx(probabilities.tolist(), abs=0.04)


def test_temperature_sharpens_and_flattens() -> None:
    probabilities = torch.tensor([0.6, 0.3, 0.1])
    expected = torch.softmax(probabilities.log() / 0.5, dim=0)
    counts = draw(probabilities.log()[None], 4000, temperature=0.5)
    assert [counts[at] / 4000 for at in range(3)] == pytest.approx(expected.tolist(), abs=0.04)


def test_filters_look_further_than_their_candidates_where_they_must(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "CANDIDATES", 4)
    counts = draw(torch.zeros(1, 64), 2000, top_p=0.99)
    assert len(counts) > 50
    monkeypatch.setattr(sampling, "CANDIDATES", 64)
    assert draw(torch.zeros(1, 64), 2000, top_p=0.99) == counts


def test_greedy_rows_and_sampled_rows_share_a_batch() -> None:
    logits = torch.tensor([[1.0, 3.0, 2.0]]).repeat(3, 1)
    rows = [
        RowSampler(SamplingParams(temperature=0), []),
        RowSampler(SamplingParams(temperature=100.0, seed=3), []),
        RowSampler(SamplingParams(temperature=1.0, top_k=1), []),
    ]
    chosen = choose(logits, rows)
    assert chosen[0] == chosen[2] == 1


def test_a_seeded_row_draws_the_same_whatever_its_company() -> None:
    torch.manual_seed(0)
    logits = torch.randn(20, 50)

    def draws(company: int) -> list[int | None]:
        rows = [RowSampler(SamplingParams(seed=9, top_p=0.9), [])]
        rows += [RowSampler(SamplingParams(), []) for _ in range(company)]
        return [choose(line.repeat(company + 1, 1), rows)[0] for line in logits]

    assert draws(0) == draws(5)


def test_choices_of_one_seeded_request_differ() -> None:
    logits = torch.zeros(1, 1000)
    for seed in (1, -1):
        params = SamplingParams(seed=seed)
        chosen = [choose(logits, [RowSampler(params, [], index)])[0] for index in range(4)]
        assert len(set(chosen)) == 4
        assert chosen == [choose(logits, [RowSampler(params, [], index)])[0] for index in range(4)]


def test_repetition_penalty_counts_the_prompt_as_transformers_does() -> None:
    from transformers import RepetitionPenaltyLogitsProcessor

    logits = torch.tensor([2.0, -1.0, 0.5, 1.5])
    row = RowSampler(SamplingParams(repetition_penalty=1.7), [0, 1])
    expected = RepetitionPenaltyLogitsProcessor(1.7)(torch.tensor([[0, 1]]), logits[None].clone())
    assert torch.allclose(row.penalise(logits), expected[0])


def test_presence_and_frequency_penalties_count_the_answer_alone() -> None:
    logits = torch.tensor([[0.0, 0.0, 5.0]])
    row = RowSampler(SamplingParams(temperature=0, presence_penalty=0.5, frequency_penalty=0.25), [0])
    assert [choose(logits, [row]) for _ in range(2)] == [[2], [2]]
    assert row.penalise(logits[0]).tolist() == pytest.approx([0.0, 0.0, 5.0 - 0.5 - 2 * 0.25])


def test_logprobs_are_of_the_model_itself() -> None:
    logits = torch.tensor([1.0, 2.0, 3.0])
    expected = torch.log_softmax(logits, dim=0)
    found = logprobs_of(logits, 0, top=2)
    assert found.logprob == pytest.approx(float(expected[0]))
    assert [token for token, _ in found.top] == [2, 1]
    assert logprobs_of(logits, 1, top=0).top == ()


def test_a_penalty_is_no_fault_of_the_models_numbers() -> None:
    logits = torch.tensor([[1e30, 2.0, 1.0]])
    row = RowSampler(SamplingParams(temperature=0, repetition_penalty=1e-10), [0])
    assert not torch.isfinite(row.penalise(logits[0])).all()
    assert choose(logits, [row]) == [0]


def test_logits_that_are_no_numbers_give_no_token_and_spare_the_other_rows() -> None:
    logits = torch.tensor([[float("nan"), 1.0], [0.0, 1.0]])
    rows = [RowSampler(SamplingParams(temperature=0), []) for _ in range(2)]
    assert choose(logits, rows) == [None, 1]
