"""The published formulas in plain autograd, written without the product's code.

The library's own forward pass runs, in float64, with `scaled_dot_product_attention` replaced by
an explicit one that keeps each attention matrix in the graph.
"""

from __future__ import annotations

import copy
from contextlib import contextmanager
from unittest import mock

import torch
from skimage.measure import label, regionprops
from timm.models.eva import EvaBlockPostNorm
from torch import Tensor, nn
from torch.nn import functional as F


class Reference:
    """One image through one tower, everything kept.

    Attributes
    ----------
    attentions : list of Tensor
        ``(heads, queries, N)`` of every layer, in the graph.
    normed : Tensor
        ``(N, C)``, the last block's first normalisation, in the graph.
    stream : Tensor
        ``(N, C)``, output of the last block.
    embedding : Tensor
        ``(D,)``.
    """

    def __init__(self, model, pixels: Tensor) -> None:
        self.visual = copy.deepcopy(model.visual).double()
        self.scale = float(model.network.logit_scale.exp())
        self.attentions: list[Tensor] = []
        trunk = getattr(self.visual, "trunk", None)
        self.blocks = trunk.blocks if trunk is not None else self.visual.transformer.resblocks
        self.patch = 16
        grid = tuple(max(1, round(n / self.patch)) for n in pixels.shape[-2:])
        self.grid = grid
        size = tuple(g * self.patch for g in grid)
        pixels = pixels.double()
        if pixels.shape[-2:] != size:
            pixels = F.interpolate(pixels, size, mode="bilinear", align_corners=False)
        self._set_grid(grid)
        last = self.blocks[-1]
        first_norm = last.ln_1 if trunk is None else last.norm1
        if isinstance(last, EvaBlockPostNorm):  # it attends to the stream as it is
            hook = last.attn.register_forward_pre_hook(self._keep_input)
        else:
            hook = first_norm.register_forward_hook(self._keep_normed)
        hooks = [
            hook,
            last.register_forward_hook(self._keep_stream),
        ]
        with self._explicit_attention():
            self.embedding = self.visual(pixels.requires_grad_())[0]
        for hook in hooks:
            hook.remove()
        self.prefix = self.stream.shape[0] - grid[0] * grid[1]

    def _set_grid(self, grid: tuple[int, int]) -> None:
        """Give the tower position embeddings of another grid, interpolated place by place."""
        trunk = getattr(self.visual, "trunk", None)
        holder, name = (
            (self.visual, "positional_embedding") if trunk is None else (trunk, "pos_embed")
        )
        table = getattr(holder, name)
        if table is not None and grid != (3, 3):
            rows = table.reshape(-1, table.shape[-1])
            kept, rows = rows[: len(rows) - 9], rows[len(rows) - 9 :].reshape(3, 3, -1)
            new = []
            for i in range(grid[0]):
                for j in range(grid[1]):
                    y = min(max((i + 0.5) * 3 / grid[0] - 0.5, 0), 2)
                    x = min(max((j + 0.5) * 3 / grid[1] - 0.5, 0), 2)
                    y0, x0 = int(y), int(x)
                    y1, x1 = min(y0 + 1, 2), min(x0 + 1, 2)
                    v, u = y - y0, x - x0
                    new.append(
                        (1 - v) * ((1 - u) * rows[y0, x0] + u * rows[y0, x1])
                        + v * ((1 - u) * rows[y1, x0] + u * rows[y1, x1])
                    )
            table = torch.cat([kept, torch.stack(new)]).reshape(
                *table.shape[:-2], -1, table.shape[-1]
            )
            setattr(holder, name, nn.Parameter(table, requires_grad=False))
        if trunk is not None and grid != (3, 3):
            trunk.patch_embed.strict_img_size = False
            if getattr(trunk, "rope", None) is not None:
                trunk.rope.update_feat_shape(list(grid))

    def _keep_normed(self, module, args, output):
        self.normed = output

    def _keep_input(self, module, args):
        self.normed = args[0].clone()  # not the stream itself, which goes past the attention too
        return (self.normed, *args[1:])

    def _keep_stream(self, module, args, output):
        self.stream = output[0]

    @contextmanager
    def _explicit_attention(self):
        def attend(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None):
            scale = query.shape[-1] ** -0.5 if scale is None else scale
            weights = torch.softmax(query @ key.transpose(-1, -2) * scale, -1)
            self.attentions.append(weights)
            return weights @ value

        fast = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            with mock.patch.object(F, "scaled_dot_product_attention", attend):
                yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)

    # -- attention relevance ---------------------------------------------------------------

    def attention(self, text: Tensor, start_layer: int, pooling: str) -> Tensor:
        """Chefer et al., with N x N matrices and one gradient a class and layer."""
        maps = []
        layers = len(self.attentions)
        for vector in text.double():
            score = torch.cosine_similarity(self.embedding, vector, dim=0)
            if start_layer % layers < layers - 1:  # the authors differentiate the logit
                score = score * self.scale
            grads = torch.autograd.grad(score, self.attentions, retain_graph=True)
            tokens = self.stream.shape[0]
            relevance = torch.eye(tokens, dtype=torch.float64)
            for i in range(start_layer % layers, layers):
                weights = self.attentions[i].detach()[0]
                cam = (weights * grads[i][0]).clamp(min=0).mean(0)
                if len(cam) == tokens:
                    relevance = relevance + cam @ relevance
                else:  # the query of an attention pooling
                    pad = torch.zeros(len(cam), tokens - cam.shape[1], dtype=torch.float64)
                    row = (torch.cat([pad, cam], 1) @ relevance)[:1]
            if pooling == "token":
                row = relevance[:1]
            elif pooling == "average":
                row = relevance[self.prefix :].mean(0, keepdim=True)
            maps.append(row[0, self.prefix :].reshape(self.grid))
        return torch.stack(maps)

    # -- CLIP-ES ---------------------------------------------------------------------------

    def patch_feature(self, pooling: str) -> Tensor:
        """The image feature of CLIP-ES: mean of the patch tokens, read out as a class token."""
        if pooling != "token":
            return self.embedding
        patches = self.stream[self.prefix :]
        if hasattr(self.visual, "ln_post"):
            return self.visual.ln_post(patches).mean(0) @ self.visual.proj
        trunk = self.visual.trunk
        return self.visual.head(trunk.fc_norm(trunk.norm(patches))).mean(0)

    def clip_es(self, text: Tensor, background: Tensor, pooling: str, layers: int = 8) -> Tensor:
        texts = torch.cat([text, background]).double()
        feature = self.patch_feature(pooling)
        cosines = texts @ (feature / feature.norm())
        probabilities = torch.softmax(self.scale * cosines, 0) if len(texts) > 1 else cosines
        square = [a[0].detach() for a in self.attentions if a.shape[-2] == a.shape[-1]]
        patches = [a[:, self.prefix :, self.prefix :].mean(0) for a in square[-layers:]]
        affinity = torch.stack(patches).mean(0)
        for _ in range(3):
            affinity = affinity / affinity.sum(0, keepdim=True)
            affinity = affinity / affinity.sum(1, keepdim=True)
        affinity = (affinity + affinity.T) / 2
        affinity = affinity @ affinity
        maps = []
        for k in range(len(text)):
            (grad,) = torch.autograd.grad(probabilities[k], self.normed, retain_graph=True)
            weight = grad[0, self.prefix :].mean(0)
            cam = (self.normed.detach()[0, self.prefix :] @ weight).clamp(min=0)
            cam = cam - cam.min()
            cam = cam / cam.max() if cam.max() > 0 else cam
            regions = label(cam.reshape(self.grid).numpy() >= 0.4, connectivity=2)
            mask = torch.zeros(self.grid, dtype=torch.float64)
            for region in regionprops(regions):
                top, left, bottom, right = region.bbox
                mask[top:bottom, left:right] = 1
            maps.append(((affinity * mask.reshape(1, -1)) @ cam).reshape(self.grid))
        return torch.stack(maps)

    # -- dense -----------------------------------------------------------------------------

    def dense_open_clip(self, text: Tensor, background: Tensor) -> Tensor:
        """q-q and k-k attention in the last block of open_clip's plain tower, head by head."""
        attn = self.blocks[-1].attn
        x = self.normed[0]
        packed = x @ attn.in_proj_weight.T + attn.in_proj_bias
        width = x.shape[1]
        outs = []
        for h in range(attn.num_heads):
            part = slice(h * attn.head_dim, (h + 1) * attn.head_dim)
            q, k, v = (packed[:, i * width : (i + 1) * width][:, part] for i in range(3))
            weights = torch.softmax(q @ q.T / attn.head_dim**0.5, 1)
            weights = weights + torch.softmax(k @ k.T / attn.head_dim**0.5, 1)
            outs.append(weights @ v)
        tokens = torch.cat(outs, 1) @ attn.out_proj.weight.T + attn.out_proj.bias
        tokens = self.visual.ln_post(tokens[self.prefix :]) @ self.visual.proj
        cosines = F.normalize(tokens, dim=1) @ torch.cat([text, background]).double().T
        if cosines.shape[1] > 1:
            cosines = torch.softmax(self.scale * cosines, 1)
        return cosines.T[: len(text)].reshape(-1, *self.grid)
