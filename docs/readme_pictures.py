"""Take the pictures of the README and of the landing page from the gallery that was built.

    make docs && .venv/bin/python docs/readme_pictures.py

They are kept in the repository, small, because a README is read where no gallery was built.
"""

from pathlib import Path

from PIL import Image

DOCS = Path(__file__).parent
WIDTH, HEIGHT, COLORS = 720, 300, 128

# What it is called: section and name of an example, and which of its pictures.
PICTURES = {
    "matrix": ("matrices", "drug_responses", 2),
    "image": ("images", "image_completion", 1),
    "descent": ("linear", "triple_descent", 1),
    "margin": ("linear", "support_vectors", 1),
    "noise": ("interpolation", "noisy_labels", 1),
    "transition": ("networks", "phase_transition", 1),
    "square_loss": ("networks", "square_loss_digits", 1),
    "collapse": ("inspection", "neural_collapse", 1),
    "linearity": ("inspection", "transition_to_linearity", 3),
    "mirrors": ("descents", "mirrors", 1),
}


def main():
    target = DOCS / "images"
    target.mkdir(exist_ok=True)
    for name, (section, example, number) in PICTURES.items():
        picture = f"sphx_glr_plot_{example}_{number:03d}.png"
        source = DOCS / "auto_examples" / section / "images" / picture
        with Image.open(source) as image:
            white = Image.new("RGB", image.size, "white")
            white.paste(image, mask=image.getchannel("A") if "A" in image.mode else None)
        white.thumbnail((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
        framed = Image.new("RGB", (WIDTH, HEIGHT), "white")
        corner = (WIDTH - white.width) // 2, (HEIGHT - white.height) // 2
        framed.paste(white, corner)
        framed.quantize(COLORS).save(target / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
