"""Files under the names of OpenAI, Hugging Face and Flax, written here without the tables, are read as one network."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from gentoolkit.models import clip, weights
from gentoolkit.models.clip import names

pytestmark = pytest.mark.fast
TINY = clip.Architecture(8, 4, clip.Tower(8, 2, 2), clip.Tower(6, 1, 3), 5, vocabulary_size=20, context_length=7)


@pytest.fixture(scope="module")
def model():
    graphdef, state = nnx.split(clip.shapes(TINY))
    rng = np.random.default_rng(0)
    # Halves of whole numbers, which half precision holds.
    state = jax.tree.map(lambda p: jnp.asarray(rng.integers(-99, 99, p.shape) / 2, p.dtype), state)
    return nnx.merge(graphdef, state)


def norm(to, layer):
    return {f"{to}.weight": layer.scale, f"{to}.bias": layer.bias}


def linear(to, layer):
    return {f"{to}.weight": layer.kernel[...].T, f"{to}.bias": layer.bias}


def openai(model):
    arrays = {
        "visual.conv1.weight": model.vision.patch_kernel[...].transpose(3, 2, 0, 1),
        "visual.class_embedding": model.vision.class_token,
        "visual.positional_embedding": model.vision.positions,
        "visual.proj": model.image_projection,
        "token_embedding.weight": model.text.embedding,
        "positional_embedding": model.text.positions,
        "text_projection": model.text_projection,
        "logit_scale": model.log_scale,
        "input_resolution": np.array(8),  # kept by OpenAI's archives beside the weights
        **norm("visual.ln_pre", model.vision.norm_before),
        **norm("visual.ln_post", model.vision.norm_after),
        **norm("ln_final", model.text.norm_after),
    }
    for prefix, tower in (("visual.", model.vision), ("", model.text)):
        for i, block in enumerate(tower.blocks):
            name, thirds = f"{prefix}transformer.resblocks.{i}", block.attention
            each = (thirds.query, thirds.key, thirds.value)
            arrays |= norm(f"{name}.ln_1", block.attention_norm) | norm(f"{name}.ln_2", block.hidden_norm)
            arrays |= linear(f"{name}.attn.out_proj", thirds.out)
            arrays |= linear(f"{name}.mlp.c_fc", block.hidden) | linear(f"{name}.mlp.c_proj", block.out)
            arrays[f"{name}.attn.in_proj_weight"] = np.concatenate([one.kernel[...].T for one in each])
            arrays[f"{name}.attn.in_proj_bias"] = np.concatenate([one.bias[...] for one in each])
    return arrays


def hugging_face(model):
    arrays = {
        "vision_model.embeddings.patch_embedding.weight": model.vision.patch_kernel[...].transpose(3, 2, 0, 1),
        "vision_model.embeddings.class_embedding": model.vision.class_token,
        "vision_model.embeddings.position_embedding.weight": model.vision.positions,
        "vision_model.embeddings.position_ids": np.arange(5),
        "visual_projection.weight": model.image_projection[...].T,
        "text_model.embeddings.token_embedding.weight": model.text.embedding,
        "text_model.embeddings.position_embedding.weight": model.text.positions,
        "text_projection.weight": model.text_projection[...].T,
        "logit_scale": model.log_scale,
        **norm("vision_model.pre_layrnorm", model.vision.norm_before),
        **norm("vision_model.post_layernorm", model.vision.norm_after),
        **norm("text_model.final_layer_norm", model.text.norm_after),
    }
    for prefix, tower in (("vision_model", model.vision), ("text_model", model.text)):
        for i, block in enumerate(tower.blocks):
            name = f"{prefix}.encoder.layers.{i}"
            arrays |= linear(f"{name}.self_attn.q_proj", block.attention.query)
            arrays |= linear(f"{name}.self_attn.k_proj", block.attention.key)
            arrays |= linear(f"{name}.self_attn.v_proj", block.attention.value)
            arrays |= linear(f"{name}.self_attn.out_proj", block.attention.out)
            arrays |= norm(f"{name}.layer_norm1", block.attention_norm) | norm(f"{name}.layer_norm2", block.hidden_norm)
            arrays |= linear(f"{name}.mlp.fc1", block.hidden) | linear(f"{name}.mlp.fc2", block.out)
    return arrays


def hugging_face_flax(model):
    """Flax's layouts: slashes, kernels as ours, and other last words."""
    arrays = {}
    for name, value in hugging_face(model).items():
        value = np.asarray(value)
        *path, last = name.split(".")
        if last == "weight":
            last = "embedding" if path[-1] in ("token_embedding", "position_embedding") else "kernel"
            last = "scale" if "norm" in path[-1] or "layrnorm" in path[-1] else last
            if last == "kernel":
                value = value.transpose(2, 3, 1, 0) if value.ndim == 4 else value.T
        arrays["/".join([*path, last])] = value
    return arrays


def assert_same(found, model):
    found, expected = (nnx.to_flat_state(nnx.as_pure(nnx.state(each))) for each in (found, model))
    for (path, value), (other, wanted) in zip(found, expected, strict=True):
        assert path == other and value.dtype == jnp.float32
        np.testing.assert_array_equal(value, wanted, err_msg=str(path))


@pytest.mark.parametrize("write", [openai, hugging_face, hugging_face_flax])
def test_each_naming_is_read_as_the_same_network(tmp_path, model, write):
    # Half precision, as OpenAI's files; NumPy has a name for each array, and the reader's tests see to other formats.
    np.savez(tmp_path / "weights.npz", **{k: np.asarray(v).astype(np.float16) for k, v in write(model).items()})
    assert clip.naming_of(weights.read(tmp_path / "weights.npz")) == write.__name__
    assert_same(clip.load(tmp_path / "weights.npz", TINY), model)


def test_a_network_of_our_own_is_saved_and_read(tmp_path, model):
    clip.save(tmp_path / "own.npz", model)
    assert_same(clip.load(tmp_path / "own.npz", TINY), model)


def test_every_tensor_that_does_not_fit_is_named(tmp_path, model):
    arrays = openai(model)
    arrays["visual.layer1.weight"] = arrays.pop("visual.ln_pre.bias")
    np.savez(tmp_path / "w.npz", **arrays)
    told = r"w\.npz' .* CLIP: visual\.ln_pre\.bias \[8\] is missing.*; visual\.layer1\.weight \[8\] belongs to no part"
    with pytest.raises(weights.WeightsError, match=told):
        clip.load(tmp_path / "w.npz", TINY)


def test_another_size_is_told_by_its_name(tmp_path):
    own = {name: np.zeros(shape, np.float16) for name, shape in shapes_of(clip.MINI).items()}
    np.savez(tmp_path / "w.npz", **own)
    with pytest.raises(weights.WeightsError, match=r"should have \[.*It has the shapes of MINI; which activation"):
        clip.load(tmp_path / "w.npz", TINY)


def shapes_of(architecture):
    flat = nnx.to_flat_state(nnx.as_pure(nnx.state(clip.shapes(architecture))))
    return {"/".join(map(str, path)): leaf.shape for path, leaf in flat}


def test_another_network_is_no_clip(tmp_path):
    np.savez(tmp_path / "w.npz", **{"visual.attnpool.q_proj.weight": np.zeros((2, 2))})
    with pytest.raises(weights.WeightsError, match=re.escape("does not hold a CLIP with two transformers")):
        clip.load(tmp_path / "w.npz", TINY)
    with pytest.raises(ValueError, match="openai, hugging_face, hugging_face_flax, gentoolkit, got 'timm'"):
        clip.table_of(TINY, "timm")


def test_a_clip_says_which_file_it_was_read_from():
    digits = clip.PUBLISHED["VIT_B_32"] + "0" * 48

    def origin(architecture, sha256=digits):
        return names._origin(weights.Weights({}, path="", format="", sha256=sha256), architecture)

    assert origin(clip.VIT_B_32) == weights.Origin("CLIP VIT_B_32, quick_gelu", digits, True)
    other = origin(dataclasses.replace(clip.VIT_B_32, activation="gelu"))
    assert other.name == "CLIP VIT_B_32, gelu" and not other.published, "OpenAI's weights had another activation"
    assert not origin(clip.VIT_B_32, "1" * 64).published and not origin(clip.VIT_B_16).published
    assert origin(TINY).name == "CLIP of another size, quick_gelu"


def test_the_origin_stays_with_the_network(model, tmp_path):
    path = tmp_path / "clip.npz"
    clip.save(path, model)
    read = clip.load(path, TINY)
    assert read.origin == weights.of_file("CLIP of another size, quick_gelu", weights.read(path))
    assert nnx.merge(*nnx.split(read)).origin == read.origin
    assert "initial weights" in str(model.origin)
