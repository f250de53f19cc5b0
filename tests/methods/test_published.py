"""Every value in ``configs/*.yaml`` is one that was published, with its source, or says it is ours.

The table here is written from the papers and what is known of their code, not from the configs.
"""

from pathlib import Path

import pytest
import yaml

from gstalker.methods import METHODS

CONFIGS = Path(__file__).parents[2] / "configs"
CM_PER_M = 100.0


def under(prefix, **values):
    """Values by their whole key, numbers of a list one by one."""
    found = {}
    for name, value in values.items():
        parts = enumerate(value) if isinstance(value, list) else [("", value)]
        found |= {".".join(filter(None, (prefix, name, str(k)))): part for k, part in parts}
    return found


def both(first, second, **values):
    return under(first, **values) | under(second, **values)


def planes(prefix, levels, features, log2_table, base, finest):
    return under(
        prefix, levels=levels, features_per_level=features, log2_table=log2_table, base=base,
        finest=finest,
    )  # fmt: skip


AD_NERF = {  # head and torso: HeadNeRF and TorsoNeRF of the released code
    **under("audio", code=64, smooth=True),
    **under("head", steps=400_000, rays=2048, face_share=0.95, rate=5e-4, attention_rate=5 * 5e-4),
    **under("head", decay=0.1, decay_steps=250_000, smooth_from_step=200_000),
    **under("torso", steps=300_000, rays=1024, rate=5e-4, decay=0.1, decay_steps=250_000),
    **both("head.field", "torso.field", layers=8, hidden=256, again=4, color_layers=3),
    **both("head.field", "torso.field", place_octaves=10, direction_octaves=4),
    **both("head.sampling", "torso.sampling", coarse=64, fine=128),
}

MARCHED = {  # RAD-NeRF's main.py and network.py, which ER-NeRF keeps
    **under("field", hidden=64, geometry=64, latent=4),
    **under("audio", smooth=True),
    **under("head", rays=256**2, entropy_weight=1e-4),
    **under("head.march", samples=16, growth=1 / 256),
    **under("head.march.occupancy", cells=128, every_steps=16, threshold=10.0),
    **under("lips", lips_weight=0.01, final_rate_share=0.05),
    **under("torso", rays=256**2, entropy_weight=1e-4),
    **under("torso.field", latent=8),
    **planes("torso.field.grid", 16, 2, 16, 16, 2048),
    **under("", average=0.95),
}
ER_NERF = MARCHED | {  # the paper's sections 3.2 to 4.1, then its released code
    **planes("field.encoder", 14, 1, 14, 64, 512),
    **under("field", sound="attention", eye_attention=True, widened=0.001),
    **under("audio", code=32),
    **under("head", steps=100_000, sound_weight=1e-4, smooth_weight=1e-5, smooth_reach=1e-3),
    **under("head", final_rate_share=0.5),
    **under("head.rates", grids=0.01, networks=0.001, attention=5 * 0.001, attention_decay=1e-4),
    **under("head.rates", betas=[0.0, 0.99], eps=1e-8),
    **under("lips", steps=25_000, side=32, patch_weight=0.1),
    **under("torso", steps=100_000, final_rate_share=0.5),
    **under("torso.field", pose="points", pose_octaves=3, pixel_octaves=8, shrink=1.0, hidden=32),
    **under("torso.rates", grids=0.01, networks=0.001, betas=[0.0, 0.99], eps=1e-8),
}
RAD_NERF = MARCHED | {
    **under("field.encoder", name="grid3d"),
    **planes("field.encoder", 16, 2, 16, 16, 2048),
    **planes("field.sound_grid", 16, 2, 16, 16, 2048),
    **under("field", sound="ambient", eye_attention=False, widened=0.0),
    **under("audio", code=64),
    **under("head", steps=200_000, sound_weight=0.1, smooth_weight=0.0, eye_noise=0.0),
    **under("head", final_rate_share=0.1),
    **under("head.rates", grids=5e-3, networks=5e-4, attention=5 * 5e-4, attention_decay=0.0),
    **under("head.rates", betas=[0.9, 0.99], eps=1e-15),
    **under("lips", steps=50_000, side=0, patch_weight=0.0),
    **under("torso", steps=200_000, final_rate_share=0.1),
    **under("torso.field", pose="numbers", pose_octaves=4, pixel_octaves=10, shrink=0.8, hidden=64),
    **under("torso.rates", grids=5e-3, networks=5e-4, betas=[0.9, 0.99], eps=1e-15),
}


def branch(prefix):
    """What TalkingGaussian's two branches have in common."""
    return {
        **under(prefix, steps=50_000, warm_steps=3000, incremental=True, dssim_weight=0.2),
        **under(prefix, alpha_weight=1e-3),
        **under(f"{prefix}.audio", code=32, smooth=True),
        **under(f"{prefix}.field", reach=0.15 * CM_PER_M),
        **under(f"{prefix}.rates", encoder=5e-3, networks=5e-4, attention=5 * 5e-4),
        **under(f"{prefix}.rates", betas=[0.9, 0.99], attention_decay=1e-4),
        **under(f"{prefix}.rates", final_means=1.6e-6 / 1.6e-4, means_fallen_by=45_000 / 50_000),
        **under(f"{prefix}.rates", final_motion=0.1, motion_halved_by=40_000 / 50_000),
        **under(f"{prefix}.rates.cloud", means=1.6e-4 * CM_PER_M, scales=0.003, quats=0.001),
        **under(f"{prefix}.rates.cloud", opacities=0.05, sh=2.5e-3),
        **under(f"{prefix}.densify", start_step=500, every_steps=100, reset_every_steps=0),
        **under(f"{prefix}.densify", prune_opacity=0.05, prune_opacity_last=0.30),
    }


TALKINGGAUSSIAN = {
    **branch("face"),
    **branch("mouth"),
    **under("face.start", name="random", max_gaussians=2000, sh_degree=2),
    **under("mouth", max_gaussians=10_000, sh_degree=2),
    **planes("face.field.encoder", 12, 1, 17, 16, round(256 * 0.15)),
    **planes("mouth.field.encoder", 12, 1, 17, round(384 * 0.15), 64),
    **under("face.field", hidden=64, attention=32, eye_attention=16, scales=1.0, quats=1.0),
    **under("face.field", means=[0.01 * CM_PER_M] * 3),
    **under("mouth.field", hidden=32, attention=0, eye_attention=0, scales=0.0, quats=0.0),
    **under("mouth.field", means=[CM_PER_M * 0.01 * share for share in (0.2, 1, 0.2)]),
    **under("face", change_weight=1e-5, attention_weight=1e-4),
    **under("mouth", change_weight=0.0),
    **under("face.perceptual", weight=0.2, start_share=1 - 3000 / 50_000, side=64),
    **under("mouth.perceptual", weight=0.5, start_share=1 - 1000 / 50_000, side=40),
    **under("face.densify", grow_grad2d=5e-4),
    **under("mouth.densify", grow_grad2d=2e-4),
    **under("fuse", steps=10_000, dssim_weight=0.2, colours=2.5e-3, opacities=1e-3),
    **under("fuse.perceptual", weight=0.5, start_share=5000 / 10_000, side=40),
}


def cross_stage(prefix):
    """What GaussianTalker's two stages have in common."""
    return {
        **under(prefix, dssim_weight=0.2, mouth_weight=0.4),
        **under(f"{prefix}.perceptual", weight=0.01, start_share=0.0),
        **under(f"{prefix}.rates", planes=1.6e-3, networks=1e-4, smoothing=5 * 1e-4),
        **under(f"{prefix}.rates", final_means=1.6e-6 / 1.6e-4, final_motion=0.1),
        **under(f"{prefix}.rates.cloud", means=1.6e-4 * CM_PER_M, scales=0.005, quats=0.001),
        **under(f"{prefix}.rates.cloud", opacities=0.05, sh=2.5e-3),
    }


GAUSSIANTALKER = {
    **cross_stage("coarse"),
    **cross_stage("fine"),
    **under("cross", layers=1, heads=2, feed_forward=128, dropout=0.2, hidden=128),
    **under("cross.encoder", name="planes", levels=2, features_per_level=32, base=64, finest=128),
    **under("coarse", steps=7999),
    **under("coarse.start", sh_degree=3),
    **under("coarse.densify", start_step=1000, stop_step=7000, every_steps=100, grow_grad2d=1e-3),
    **under("coarse.densify", max_gaussians=50_000),
    **under("fine", steps=10_000, frames_per_step=32),
    **under("fine.audio", code=32, smooth=True),
}
PUBLISHED = {
    "ad_nerf": AD_NERF,
    "er_nerf": ER_NERF,
    "rad_nerf": RAD_NERF,
    "talkinggaussian": TALKINGGAUSSIAN,
    "gaussiantalker": GAUSSIANTALKER,
    "gstalker": {},  # neither paper's text was to be had
    "blendshape_gaussians": {},
}
"""By the config's name; keys are below ``method``."""


def stated(name):
    """Each value of a config below ``method``: by its key, the value and the line it stands in."""
    text = (CONFIGS / f"{name}.yaml").read_text()
    lines, whole = text.splitlines(), yaml.compose(text)
    loaded = yaml.safe_load(text)["method"]
    found = {}

    def walk(node, value, key):
        if isinstance(node, yaml.MappingNode):
            for at, below in node.value:
                walk(below, value[at.value], [*key, at.value])
        elif isinstance(node, yaml.SequenceNode):
            for k, below in enumerate(node.value):
                walk(below, value[k], [*key, str(k)])
        else:
            found[".".join(key)] = value, lines[node.start_mark.line]

    walk({key.value: node for key, node in whole.value}["method"], loaded, [])
    return found


def test_no_config_is_forgotten_here():
    shipped = {file.stem for file in CONFIGS.glob("*.yaml")} - {"demo"}
    assert set(PUBLISHED) == shipped
    assert set(METHODS) <= shipped


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_config_states_every_published_value(name):
    found = {key: value for key, (value, _) in stated(name).items()}
    wanted = PUBLISHED[name]
    assert {key: found.get(key, "not stated") for key in wanted} == pytest.approx(wanted)


@pytest.mark.parametrize("name", PUBLISHED)
def test_whatever_else_a_config_states_is_called_ours(name):
    theirs = {"name", *PUBLISHED[name]}
    unnamed = [
        key
        for key, (_, line) in stated(name).items()
        if key not in theirs and "ours" not in line.partition("#")[2]
    ]
    assert unnamed == []
