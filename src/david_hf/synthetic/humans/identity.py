"""Who a person is: body shape, face and expression, drawn from the distributions."""

import numpy as np

from david_hf.synthetic.factors import Draws

from .bodies import BodyModel, Identity

ANCESTRIES = ("african", "asian", "caucasian")
SLIDERS = (
    "gender", "age", "muscle", "weight", "height", "proportions", "cupsize", "firmness",
)  # fmt: skip
FACE_REGIONS = ("nose", "mouth", "chin", "cheek", "head", "eye", "ear", "forehead", "neck")

# Facial actions (ARKit's names) of each expression; a name without a side stands for both.
EXPRESSIONS: dict[str, dict[str, float]] = {
    "neutral": {},
    "smile": {"mouthSmile": 0.8, "cheekSquint": 0.4, "mouthDimple": 0.2},
    "laugh": {"mouthSmile": 0.9, "jawOpen": 0.35, "cheekSquint": 0.7, "eyeSquint": 0.4,
              "mouthUpperUp": 0.4},
    "talk": {"jawOpen": 0.22, "mouthFunnel": 0.25, "mouthLowerDown": 0.2, "browInnerUp": 0.2},
    "surprise": {"jawOpen": 0.4, "eyeWide": 0.8, "browInnerUp": 0.9, "browOuterUp": 0.8},
    "angry": {"browDown": 0.9, "noseSneer": 0.5, "mouthPress": 0.5, "eyeSquint": 0.4},
    "sad": {"browInnerUp": 0.8, "mouthFrown": 0.7, "mouthShrugLower": 0.4},
    "disgust": {"noseSneer": 0.9, "mouthUpperUp": 0.6, "browDown": 0.5, "eyeSquint": 0.5},
    "pout": {"mouthPucker": 0.8, "mouthFunnel": 0.2},
    "smirk": {"mouthSmileLeft": 0.7, "mouthDimpleLeft": 0.5, "browOuterUpRight": 0.5},
    "squint": {"eyeSquint": 0.9, "browDown": 0.5, "cheekSquint": 0.5},
    "wink": {"eyeBlinkLeft": 1.0, "mouthSmileLeft": 0.6, "cheekSquintLeft": 0.6},
    "closed_eyes": {"eyeBlink": 1.0},
    "shout": {"jawOpen": 0.75, "mouthLowerDown": 0.5, "mouthUpperUp": 0.4, "browDown": 0.3},
    "tongue": {"tongueOut": 0.9, "jawOpen": 0.4, "mouthSmile": 0.4},
    "free": {},
}  # fmt: skip


def sample_identity(draws: Draws, model: BodyModel) -> Identity:
    """Body shape, face shape and expression of one person.

    Args:
        draws: Section "person". `main_ancestry` is put into it.
        model: The body model.
    """
    shares = draws("ancestry")
    draws.put("main_ancestry", max(ANCESTRIES, key=lambda name: shares[name]))
    phenotype = {name: float(draws(name)) for name in SLIDERS} | shares
    return Identity(phenotype, _face(draws, model), _expression(draws, model))


def _face(draws: Draws, model: BodyModel) -> dict[str, float]:
    share, strength, rng = draws("face_share"), draws("face_strength"), draws.rng
    of_face = [
        label
        for label in model.local_change_labels
        if any(label.startswith(region) or f"-{region}" in label for region in FACE_REGIONS)
    ]
    return {
        label: float(np.clip(rng.normal(0, strength), -0.45, 0.45))
        for label in of_face
        if rng.random() < share
    }


def _expression(draws: Draws, model: BodyModel) -> dict[str, float]:
    """The named expression, slightly asymmetric, with a few weak actions on top."""
    name, strength, rng = draws("expression"), draws("expression_strength"), draws.rng
    found: dict[str, float] = {}
    for label in model.facial_action_labels:
        stem = label.removesuffix("Left").removesuffix("Right")
        wanted = EXPRESSIONS[name].get(label, EXPRESSIONS[name].get(stem, 0.0)) * strength
        if "Blink" in label and wanted > 0:
            wanted = 1.0  # half-closed eyes look drugged
        noise = rng.beta(0.5, 3) if rng.random() < (0.25 if name == "free" else 0.08) else 0.0
        if "tongue" in label or "Blink" in label or "Look" in label:
            noise = 0.0
        value = wanted * rng.uniform(0.85, 1.1) + noise
        if value > 0.01:
            found[label] = float(min(value, 1.0))
    return found
