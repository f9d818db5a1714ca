from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from app.diffusion.models.gligen import MOST_BOXES, GatedAttention, PositionNet, box_waves


def random(module: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module.requires_grad_(False).eval()


def test_waves_of_a_box() -> None:
    found = box_waves(torch.tensor([[0.1, 0.2, 0.5, 0.9]]))[0]
    wanted: list[float] = []
    for power in range(8):
        frequency = 100 ** (power / 8)
        wanted += [math.sin(frequency * side) for side in (0.1, 0.2, 0.5, 0.9)]
        wanted += [math.cos(frequency * side) for side in (0.1, 0.2, 0.5, 0.9)]
    torch.testing.assert_close(found, torch.tensor(wanted))


def test_what_there_is_not_is_told_by_learned_features() -> None:
    net = random(PositionNet(6, 10, 7))
    assert isinstance(net, PositionNet)
    texts, boxes = torch.randn(2, 6), torch.rand(2, 4)
    found = net(texts, boxes)
    assert found.shape == (MOST_BOXES, 7)
    torch.testing.assert_close(found[:2], net.linears(torch.cat([texts, box_waves(boxes)], dim=1)))
    empty = net.linears(torch.cat([net.null_positive_feature, net.null_position_feature]))
    torch.testing.assert_close(found[2:], empty.expand(MOST_BOXES - 2, -1))


def test_the_gates_let_through_attention_to_picture_and_boxes() -> None:
    gate = random(GatedAttention(16, 6))
    assert isinstance(gate, GatedAttention)
    x, boxes = torch.randn(2, 9, 16), torch.randn(2, 3, 6)
    tokens = gate.norm1(torch.cat([x, gate.linear(boxes)], dim=1))
    q, k, v = (
        torch.unflatten(layer(tokens), -1, (8, 2)).transpose(1, 2)
        for layer in (gate.attn.to_q, gate.attn.to_k, gate.attn.to_v)
    )
    looked = gate.attn.to_out(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))[:, :9]
    between = x + math.tanh(float(gate.alpha_attn)) * looked
    inner, scale = gate.ff.net[0].proj(gate.norm2(between)).chunk(2, dim=-1)  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]
    wanted = between + math.tanh(float(gate.alpha_dense)) * gate.ff.net[2](inner * functional.gelu(scale))
    torch.testing.assert_close(gate(x, boxes), wanted, rtol=1e-4, atol=1e-5)


def test_closed_gates_change_nothing() -> None:
    gate = random(GatedAttention(16, 6))
    assert isinstance(gate, GatedAttention)
    gate.alpha_attn.zero_()
    gate.alpha_dense.zero_()
    x = torch.randn(2, 9, 16)
    assert torch.equal(gate(x, torch.randn(2, 3, 6)), x)
