"""Swin in PyTorch with the modules, names and dropouts of the official code, for maps that windows divide."""

import torch
from torch import nn
from torch.nn import functional

ARGUMENTS = {"img_size": 16, "patch_size": 2, "embed_dim": 8, "depths": (2, 1), "num_heads": (2, 4), "window_size": 4}


class DropPath(nn.Module):
    """As timm has it, which the official code imports."""

    def __init__(self, drop_prob):
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x):
        if not self.drop_prob or not self.training:
            return x
        kept = 1 - self.drop_prob
        return x * x.new_empty(len(x), *[1] * (x.ndim - 1)).bernoulli_(kept).div_(kept)


class PatchEmbed(nn.Module):
    def __init__(self, channels, patch_norm):
        super().__init__()
        self.proj = nn.Conv2d(3, channels, 2, stride=2)
        self.norm = nn.LayerNorm(channels) if patch_norm else None

    def forward(self, x):
        x = self.proj(x).flatten(2).transpose(1, 2)
        return x if self.norm is None else self.norm(x)


class Attention(nn.Module):
    def __init__(self, channels, heads, side, drop, kind):
        super().__init__()
        self.heads, self.side, self.kind = heads, side, kind
        self.qkv, self.proj = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        self.relative_position_bias_table = nn.Parameter(torch.randn((2 * side - 1) ** 2, heads) * 0.2)
        self.attn_drop, self.proj_drop = nn.Dropout(drop), nn.Dropout(drop)
        self.softmax = nn.Softmax(dim=-1)

    def bias(self):
        y, x = torch.meshgrid(torch.arange(self.side), torch.arange(self.side), indexing="ij")
        places = torch.stack([y.flatten(), x.flatten()])
        dy, dx = places[:, :, None] - places[:, None, :] + self.side - 1
        return self.relative_position_bias_table[dy * (2 * self.side - 1) + dx].permute(2, 0, 1)

    def forward(self, x, mask):
        rows, tokens, channels = x.shape
        q, k, v = self.qkv(x).reshape(rows, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        rate = self.attn_drop.p if self.training else 0.0
        if self.kind == "fused":
            bias = self.bias() if mask is None else self.bias() + mask.repeat(rows // len(mask), 1, 1)[:, None]
            y = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias, dropout_p=rate)
            return self.proj_drop(self.proj(y.transpose(1, 2).reshape(rows, tokens, channels)))
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1) + self.bias()
        if mask is not None:
            scores = (scores.view(-1, len(mask), *scores.shape[1:]) + mask[:, None]).view_as(scores)
        if self.kind == "modules":
            attention = self.attn_drop(self.softmax(scores))
        else:
            attention = functional.dropout(scores.softmax(-1), rate, self.training)
        return self.proj_drop(self.proj((attention @ v).transpose(1, 2).reshape(rows, tokens, channels)))


class Mlp(nn.Module):
    def __init__(self, channels, drop, inplace):
        super().__init__()
        self.fc1, self.act, self.fc2 = nn.Linear(channels, 2 * channels), nn.GELU(), nn.Linear(2 * channels, channels)
        self.drop = nn.Dropout(drop, inplace)

    def forward(self, x):
        return self.drop(self.fc2(self.drop(self.act(self.fc1(x)))))


class Block(nn.Module):
    def __init__(self, channels, heads, side, map_side, shift, drop, inplace, drop_path, kind):
        super().__init__()
        self.side, self.map_side, self.shift = side, map_side, shift
        self.norm1, self.attn = nn.LayerNorm(channels), Attention(channels, heads, side, drop, kind)
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()
        self.norm2, self.mlp = nn.LayerNorm(channels), Mlp(channels, drop, inplace)

    def windows(self, x):
        """(B, H, W, C) -> (B·nW, M², C)."""
        batch, n, m = len(x), self.map_side // self.side, self.side
        return x.view(batch, n, m, n, m, -1).transpose(2, 3).reshape(batch * n * n, m * m, -1)

    def mask(self):
        if not self.shift:
            return None
        bands = torch.zeros(self.map_side)
        bands[-self.side : -self.shift], bands[-self.shift :] = 1, 2
        regions = self.windows((3 * bands[:, None] + bands)[None, :, :, None])[..., 0]
        return torch.where(regions[:, None] != regions[:, :, None], -100.0, 0.0)

    def forward(self, x):
        batch, _, channels = x.shape
        n, m = self.map_side // self.side, self.side
        y = self.norm1(x).view(batch, self.map_side, self.map_side, channels).roll((-self.shift,) * 2, (1, 2))
        mask = self.mask()
        y = self.attn(self.windows(y), None if mask is None else mask.to(x.dtype))
        y = y.view(batch, n, n, m, m, channels).transpose(2, 3).reshape(batch, self.map_side, self.map_side, channels)
        x = x + self.drop_path(y.roll((self.shift,) * 2, (1, 2)).reshape(x.shape))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class PatchMerging(nn.Module):
    def __init__(self, channels, map_side):
        super().__init__()
        self.map_side = map_side
        self.reduction, self.norm = nn.Linear(4 * channels, 2 * channels, bias=False), nn.LayerNorm(4 * channels)

    def forward(self, x):
        x = x.view(len(x), self.map_side, self.map_side, -1)
        parts = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.reduction(self.norm(torch.cat(parts, -1).flatten(1, 2)))


class Stage(nn.Module):
    def __init__(self, blocks, downsample):
        super().__init__()
        self.blocks, self.downsample = nn.ModuleList(blocks), downsample

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x if self.downsample is None else self.downsample(x)


class Swin(nn.Module):
    """The model of ARGUMENTS with 5 classes and an MLP of twice the width.

    Args:
        kind: how attention is computed: by "modules", by "functions", or in one "fused" call.
    """

    def __init__(self, drop=0.0, ape=False, patch_norm=True, inplace=False, drop_path=0.0, kind="modules"):
        super().__init__()
        self.patch_embed, self.pos_drop = PatchEmbed(8, patch_norm), nn.Dropout(drop)
        self.absolute_pos_embed = nn.Parameter(torch.randn(1, 64, 8)) if ape else None
        first = [Block(8, 2, 4, 8, shift, drop, inplace, drop_path, kind) for shift in (0, 2)]
        self.layers = nn.ModuleList(
            [Stage(first, PatchMerging(8, 8)), Stage([Block(16, 4, 4, 4, 0, drop, inplace, drop_path, kind)], None)]
        )
        self.norm, self.avgpool, self.head = nn.LayerNorm(16), nn.AdaptiveAvgPool1d(1), nn.Linear(16, 5)

    def forward(self, images):
        x = self.patch_embed(images)
        if self.absolute_pos_embed is not None:
            x = x + self.absolute_pos_embed
        x = self.pos_drop(x)
        for layer in self.layers:
            x = layer(x)
        return self.head(self.avgpool(self.norm(x).transpose(1, 2)).flatten(1))
