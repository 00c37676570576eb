"""A small LLaMA in PyTorch, for training only: RMSNorm, rotary positions over adjacent pairs, grouped-query attention,
SwiGLU, output tied to the embedding (Touvron et al. 2023). One layer also hands out its attention, so that training can
teach it to look back at names. Not here: a KV cache and sampling (see `gguf_forward.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Shape:
    """Sizes of the model. Every row length is a multiple of 32, the block of Q8_0."""

    vocab: int
    context: int = 512
    dim: int = 128
    layers: int = 5
    heads: int = 4
    kv_heads: int = 2
    ffn: int = 384
    rope_theta: float = 10000.0
    rms_eps: float = 1e-5
    copy_layer: int = 3

    @property
    def head_dim(self) -> int:
        return self.dim // self.heads


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turns the pairs `(2i, 2i+1)` of the last axis. `x` is `[batch, n, heads, head_dim]`, `cos` `[n, 1, half]`."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


class Layer(nn.Module):
    """One decoder layer: attention and feed-forward, each after a norm and added to its input."""

    def __init__(self, shape: Shape, explicit: bool) -> None:
        super().__init__()
        self.shape, self.explicit = shape, explicit
        kv_dim = shape.kv_heads * shape.head_dim
        self.attn_norm = nn.RMSNorm(shape.dim, eps=shape.rms_eps)
        self.attn_q = nn.Linear(shape.dim, shape.dim, bias=False)
        self.attn_k = nn.Linear(shape.dim, kv_dim, bias=False)
        self.attn_v = nn.Linear(shape.dim, kv_dim, bias=False)
        self.attn_output = nn.Linear(shape.dim, shape.dim, bias=False)
        self.ffn_norm = nn.RMSNorm(shape.dim, eps=shape.rms_eps)
        self.ffn_gate = nn.Linear(shape.dim, shape.ffn, bias=False)
        self.ffn_up = nn.Linear(shape.dim, shape.ffn, bias=False)
        self.ffn_down = nn.Linear(shape.ffn, shape.dim, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor | None]:
        """`x` is `[batch, n, dim]`; an explicit layer also gives its attention `[batch, heads, n, n]`."""
        shape, (batch, n, _) = self.shape, x.shape
        h = self.attn_norm(x)
        q = rotate(self.attn_q(h).view(batch, n, shape.heads, shape.head_dim), cos, sin)
        k = rotate(self.attn_k(h).view(batch, n, shape.kv_heads, shape.head_dim), cos, sin)
        v = self.attn_v(h).view(batch, n, shape.kv_heads, shape.head_dim)
        group = shape.heads // shape.kv_heads
        k, v = (t.repeat_interleave(group, dim=2).transpose(1, 2) for t in (k, v))
        mixed, attention = self._mix(q.transpose(1, 2), k, v)
        x = x + self.attn_output(mixed.transpose(1, 2).reshape(batch, n, shape.dim))
        h = self.ffn_norm(x)
        return x + self.ffn_down(F.silu(self.ffn_gate(h)) * self.ffn_up(h)), attention

    def _mix(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor | None]:
        if not self.explicit:
            return F.scaled_dot_product_attention(q, k, v, is_causal=True), None
        later = torch.ones(q.shape[2], q.shape[2], dtype=torch.bool).triu(1)
        scores = (q @ k.transpose(2, 3)).float() / self.shape.head_dim**0.5
        attention = scores.masked_fill(later, -torch.inf).softmax(-1)
        return attention.to(v.dtype) @ v, attention


class StoryModel(nn.Module):
    """The whole model."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Embedding(shape.vocab, shape.dim)
        self.blk = nn.ModuleList(Layer(shape, explicit=i == shape.copy_layer) for i in range(shape.layers))
        self.output_norm = nn.RMSNorm(shape.dim, eps=shape.rms_eps)
        pair = torch.arange(0, shape.head_dim, 2).double() / shape.head_dim
        angle = torch.outer(torch.arange(shape.context).double(), shape.rope_theta**-pair)[:, None, :]
        self.register_buffer("cos", angle.cos().float(), persistent=False)
        self.register_buffer("sin", angle.sin().float(), persistent=False)
        self._start_weights()

    def _start_weights(self) -> None:
        """Normal weights, smaller with depth where they write to the residual stream (GPT-2).

        Embeddings start far enough apart that names, which stand in the same places, stay distinct. The copy layer
        starts by writing back what it reads, so that looking at a name makes that name likely.
        """
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                out = name.endswith(("attn_output.weight", "ffn_down.weight"))
                nn.init.normal_(weight, std=0.04 / (2 * self.shape.layers) ** 0.5 if out else 0.04)
        nn.init.normal_(self.token_embd.weight, std=0.1)
        shape, copy = self.shape, self.blk[self.shape.copy_layer]
        nn.init.orthogonal_(copy.attn_v.weight)
        by_head = copy.attn_v.weight.detach().view(shape.kv_heads, shape.head_dim, shape.dim)
        per_query = by_head.repeat_interleave(shape.heads // shape.kv_heads, dim=0).flatten(0, 1)
        with torch.no_grad():
            copy.attn_output.weight.copy_(0.5 * per_query.T)

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Ids `[batch, n]` to logits `[.., vocab]`, and the copy layer's attention, one head per key-value head."""
        n = ids.shape[1]
        x = self.token_embd(ids)
        for layer in self.blk:
            x, attention = layer(x, self.cos[:n], self.sin[:n])
            if attention is not None:
                copying = attention[:, :: self.shape.heads // self.shape.kv_heads]
        return F.linear(self.output_norm(x), self.token_embd.weight), copying
