"""A small GPT on a page of text: `hessium spectrum hessium.examples.small_gpt:make`.

One character is one token, one line is one sequence. Lines differ in length, so batches are padded
and the padding does not count. Attention is fused, as in most libraries; it is replaced by plain
products where second derivatives are taken, and that is said. `make` has 1,122 parameters and eight
lines, `large` more than a hundred thousand parameters and the whole page.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

import hessium as hs

TEXT = """\
the loss is a landscape in as many directions as there are weights
most of them are flat
along a few the ground rises steeply
these few are as many as the classes that the data can tell apart
a valley is narrow where the data agree
a valley is wide where nobody asked
one sample gives one direction and a thousand samples give at most a thousand
what lies beyond them is not determined by the data
the network fills it in from habit
a saddle goes up on one side and down on the other
high above the sea every point is a saddle
near the sea level the saddles lose their ways down one by one
then there is a floor
on the floor the curvature has two parts
one part comes from the slopes of the outputs and never bends down
the other comes from the errors and bends both ways
when the errors vanish so does the second part
count the ways down and you know how high you are
count the zeros and you know how much you do not know
a number without its error is a rumour
"""
IGNORED = -100
CHARACTERS = sorted(set(TEXT) - {"\n"})


class Block(nn.Module):
    """Causal attention, then two linear layers; both added to what comes in."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Samples, positions, width."""
        samples, length, width = x.shape
        qkv = self.qkv(self.norm1(x)).view(samples, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(x.shape))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class GPT(nn.Module):
    """Decoder with tied embeddings."""

    def __init__(self, width: int, heads: int, blocks: int, length: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(len(CHARACTERS), width)
        self.positions = nn.Embedding(length, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(blocks)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, len(CHARACTERS), bias=False)
        self.head.weight = self.tokens.weight
        nn.init.normal_(self.tokens.weight, std=width**-0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        """Scores of the next character: samples, characters, positions, as the loss wants them."""
        places = torch.arange(tokens.shape[1], device=tokens.device)
        hidden = self.blocks(self.tokens(tokens) + self.positions(places))
        return self.head(self.norm(hidden)).transpose(1, 2)


def sequences(count: int) -> tuple[Tensor, Tensor]:
    """Characters and those that follow them, one line a row; what is padded is not a target."""
    lines = TEXT.splitlines()[:count]
    rows = [torch.tensor([CHARACTERS.index(c) for c in line]) for line in lines]
    inputs = nn.utils.rnn.pad_sequence([row[:-1] for row in rows], batch_first=True)
    targets = nn.utils.rnn.pad_sequence(
        [row[1:] for row in rows], batch_first=True, padding_value=IGNORED
    )
    return inputs, targets


def make(
    width: int = 6, heads: int = 2, blocks: int = 1, count: int = 8, steps: int = 150
) -> hs.EmpiricalRisk:
    """The risk on the first lines of the text after training on them."""
    inputs, targets = sequences(count)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = GPT(width, heads, blocks, inputs.shape[1])
    loss = nn.CrossEntropyLoss(ignore_index=IGNORED)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.005)
    for _ in range(steps):
        optimiser.zero_grad()
        loss(model(inputs), targets).backward()
        optimiser.step()
    # the mean is over the characters that count, whatever the sizes of the batches
    batches = list(zip(inputs.split(6), targets.split(6), strict=True))
    return hs.EmpiricalRisk(model.eval(), loss, batches)


def large() -> hs.EmpiricalRisk:
    """The same with more than a hundred thousand parameters."""
    return make(width=64, heads=4, blocks=2, count=20, steps=60)
