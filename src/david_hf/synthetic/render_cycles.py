"""Render scenes with Blender Cycles: a tool that imports bpy (GPL-3) and nothing of ours.

Runs inside Blender: `python render_cycles.py` where bpy is installed, or `blender -b -P
render_cycles.py`. Reads lines of JSON from standard input, {"scene": NPZ, "output": EXR,
"hdri_dir": DIR, "samples": N, "threads": N}, renders each, and answers with one line: {"output":
EXR} or {"error": TEXT}.

The EXR holds Cycles' combined pass (premultiplied linear colour and alpha) and three AOVs, each
weighted by the material's opacity because AOVs add up along transparent hits: N (world normal), Z
(view depth), W (1).
"""

import json
import os
import sys
from pathlib import Path

import bpy
import mathutils
import numpy as np

# kind of material: (roughness, specular level)
SURFACES = {
    "skin": (0.45, 0.5),
    "fabric": (0.85, 0.15),
    "leather": (0.55, 0.4),
    "eye": (0.08, 0.5),
    "matte": (0.35, 0.5),
    "card": (0.5, 0.25),
}


class Shader:
    """A node tree with the few operations the materials need."""

    def __init__(self, name):
        self.material = bpy.data.materials.new(name)
        self.material.use_nodes = True
        self.tree = self.material.node_tree

    def node(self, kind, **properties):
        """A new node with Python properties set."""
        made = self.tree.nodes.new(kind)
        for key, value in properties.items():
            setattr(made, key, value)
        return made

    def link(self, source, target):
        """Connect an output to an input."""
        self.tree.links.new(source, target)

    def picture(self, name, pixels, is_data):
        """Colour output of an image texture. `pixels` is (H, W, 3) sRGB or (H, W) data, uint8."""
        height, width = pixels.shape[:2]
        rgba = np.ones((height, width, 4), np.float32)
        rgba[..., :3] = (pixels if pixels.ndim == 3 else pixels[..., None]) / np.float32(255)
        image = bpy.data.images.new(name, width, height, is_data=is_data, alpha=True)
        image.alpha_mode = "CHANNEL_PACKED"
        image.pixels.foreach_set(rgba[::-1].ravel())  # Blender's rows run upwards
        image.update()
        return self.node("ShaderNodeTexImage", image=image).outputs["Color"]

    def bump(self, scale, detail, strength, distance):
        """Normal output of a noise bump in object space."""
        noise, bump = self.node("ShaderNodeTexNoise"), self.node("ShaderNodeBump")
        noise.inputs["Scale"].default_value = scale
        noise.inputs["Detail"].default_value = detail
        bump.inputs["Strength"].default_value = strength
        bump.inputs["Distance"].default_value = distance
        self.link(self.node("ShaderNodeTexCoord").outputs["Object"], noise.inputs["Vector"])
        self.link(noise.outputs[0], bump.inputs["Height"])
        return bump.outputs["Normal"]

    def write_labels(self, normal, opacity=None):
        """Send normal, depth and weight to the AOVs, each times the opacity."""
        if opacity is None:
            constant = self.node("ShaderNodeValue")
            constant.outputs[0].default_value = 1
            opacity = constant.outputs[0]
        scaled = self.node("ShaderNodeVectorMath", operation="SCALE")
        self.link(normal, scaled.inputs[0])
        self.link(opacity, scaled.inputs["Scale"])
        depth = self.node("ShaderNodeMath", operation="MULTIPLY")
        self.link(self.node("ShaderNodeCameraData").outputs["View Z Depth"], depth.inputs[0])
        self.link(opacity, depth.inputs[1])
        for name, socket, kind in (
            ("N", scaled.outputs[0], "Color"),
            ("Z", depth.outputs[0], "Value"),
            ("W", opacity, "Value"),
        ):
            self.link(socket, self.node("ShaderNodeOutputAOV", aov_name=name).inputs[kind])


def surface_material(kind, texture, opacity, index):
    """Principled material of a mesh."""
    shader = Shader(f"material{index}")
    bsdf = shader.tree.nodes["Principled BSDF"]
    shader.link(shader.picture(f"colour{index}", texture, False), bsdf.inputs["Base Color"])
    bsdf.inputs["Roughness"].default_value = SURFACES[kind][0]
    bsdf.inputs["Specular IOR Level"].default_value = SURFACES[kind][1]
    normal = shader.node("ShaderNodeNewGeometry").outputs["Normal"]
    if kind == "skin":
        bsdf.inputs["Subsurface Weight"].default_value = 0.25
        bsdf.inputs["Subsurface Radius"].default_value = (1.0, 0.35, 0.2)
        bsdf.inputs["Subsurface Scale"].default_value = 0.006
        shader.link(shader.bump(900, 2, 0.12, 0.001), bsdf.inputs["Normal"])
    if kind == "fabric":
        bsdf.inputs["Sheen Weight"].default_value = 0.15
        normal = shader.bump(22, 5, 0.35, 0.02)  # the label shows the folds the picture shows
        shader.link(normal, bsdf.inputs["Normal"])
    mask = None
    if opacity is not None:
        mask = shader.picture(f"opacity{index}", opacity, True)
        shader.link(mask, bsdf.inputs["Alpha"])
    shader.write_labels(normal, mask)
    return shader.material


def hair_material(values):
    """Principled hair by melanin: its colour parametrisation comes out far too light."""
    shader = Shader("hair")
    shader.tree.nodes.remove(shader.tree.nodes["Principled BSDF"])
    bsdf = shader.node("ShaderNodeBsdfHairPrincipled", parametrization="MELANIN")
    settings = {
        "Melanin": values["melanin"],
        "Melanin Redness": values["redness"],
        "Roughness": 0.3,
        "Radial Roughness": 0.35,
        "Random Color": 0.1,
    }
    for name, value in settings.items():
        if name in bsdf.inputs:
            bsdf.inputs[name].default_value = value
    shader.link(bsdf.outputs[0], shader.tree.nodes["Material Output"].inputs["Surface"])
    proxy = shader.node("ShaderNodeAttribute", attribute_name="proxy_normal")
    shader.write_labels(proxy.outputs["Vector"])
    return shader.material


def add_object(name, data, material):
    """Put mesh or curves into the scene."""
    data.materials.append(material)
    bpy.context.scene.collection.objects.link(bpy.data.objects.new(name, data))


def add_mesh(arrays, index, kind):
    """Add part `index` of the scene file."""
    used, faces = np.unique(arrays[f"part{index}/faces"], return_inverse=True)
    faces = faces.reshape(-1, 3).astype(np.int32)
    vertices = arrays[f"part{index}/vertices"][used]
    mesh, count = bpy.data.meshes.new(f"mesh{index}"), len(faces)
    mesh.vertices.add(len(vertices))
    mesh.vertices.foreach_set("co", vertices.ravel())
    mesh.loops.add(3 * count)
    mesh.loops.foreach_set("vertex_index", faces.ravel())
    mesh.polygons.add(count)
    mesh.polygons.foreach_set("loop_start", np.arange(0, 3 * count, 3, dtype=np.int32))
    mesh.update(calc_edges=True)
    mesh.polygons.foreach_set("use_smooth", np.ones(count, bool))
    mesh.uv_layers.new(name="UVMap").data.foreach_set("uv", arrays[f"part{index}/uv"].ravel())
    opacity = arrays.get(f"part{index}/opacity")
    material = surface_material(kind, arrays[f"part{index}/texture"], opacity, index)
    add_object(f"object{index}", mesh, material)


def add_strands(arrays, index, values, material):
    """Add strand group `index`: tapered curves that carry their proxy normals."""
    points = arrays[f"strands{index}/points"]
    count, length, _ = points.shape
    curves = bpy.data.hair_curves.new(f"hair{index}")
    curves.add_curves([length] * count)
    curves.attributes["position"].data.foreach_set("vector", points.ravel())
    radius = curves.attributes.get("radius") or curves.attributes.new("radius", "FLOAT", "POINT")
    taper = values["radius"] * np.linspace(1, 0.35, length)
    radius.data.foreach_set("value", np.tile(taper, count).astype(np.float32))
    normals = curves.attributes.new("proxy_normal", "FLOAT_VECTOR", "POINT")
    normals.data.foreach_set("vector", arrays[f"strands{index}/normals"].ravel())
    add_object(f"hair_object{index}", curves, material)


def set_up_cycles(scene, samples, threads, seed):
    """Path tracing settings: few bounces, no caustics, denoised colour, label AOVs."""
    scene.render.engine = "CYCLES"
    settings = {
        "device": "CPU",
        "samples": samples,
        "use_adaptive_sampling": True,
        "adaptive_threshold": 0.03,
        "use_denoising": True,
        "denoiser": "OPENIMAGEDENOISE",
        "denoising_input_passes": "RGB_ALBEDO_NORMAL",
        "denoising_prefilter": "FAST",
        "denoising_quality": "BALANCED",
        "max_bounces": 4,
        "diffuse_bounces": 2,
        "glossy_bounces": 2,
        "transmission_bounces": 2,
        "transparent_max_bounces": 12,  # fewer turn card hair black
        "caustics_reflective": False,
        "caustics_refractive": False,
        "sample_clamp_indirect": 4,
        "filter_width": 1.2,
        "seed": seed,
    }
    for name, value in settings.items():
        setattr(scene.cycles, name, value)
    scene.cycles_curves.shape, scene.cycles_curves.subdivisions = "RIBBONS", 1
    scene.render.threads_mode, scene.render.threads = "FIXED", threads
    scene.render.film_transparent = True
    layer = scene.view_layers[0]
    for name, kind in (("N", "COLOR"), ("Z", "VALUE"), ("W", "VALUE")):
        aov = layer.aovs.add()
        aov.name, aov.type = name, kind


def add_light(scene, hdri, rotation_deg):
    """Light the scene by an equirectangular panorama."""
    scene.world = bpy.data.worlds.new("world")
    scene.world.use_nodes = True
    tree = scene.world.node_tree
    sky = tree.nodes.new("ShaderNodeTexEnvironment")
    sky.image = bpy.data.images.load(str(hdri))
    mapping = tree.nodes.new("ShaderNodeMapping")
    mapping.inputs["Rotation"].default_value[2] = np.deg2rad(rotation_deg)
    coordinates = tree.nodes.new("ShaderNodeTexCoord")
    tree.links.new(coordinates.outputs["Generated"], mapping.inputs["Vector"])
    tree.links.new(mapping.outputs["Vector"], sky.inputs["Vector"])
    tree.links.new(sky.outputs["Color"], tree.nodes["Background"].inputs["Color"])


def add_camera(scene, camera):
    """Place the camera. Blender's looks along its own -z."""
    lens = bpy.data.cameras.new("camera")
    lens.sensor_fit, lens.angle, lens.clip_start = "VERTICAL", camera["fov_y"], 0.02
    scene.camera = bpy.data.objects.new("camera", lens)
    scene.collection.objects.link(scene.camera)
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1] = camera["right"], camera["up"]
    pose[:3, 2], pose[:3, 3] = -np.array(camera["forward"]), camera["position"]
    scene.camera.matrix_world = mathutils.Matrix(pose.tolist())
    scene.render.resolution_x, scene.render.resolution_y = camera["width"], camera["height"]
    scene.render.resolution_percentage = 100


def write_exr(scene, output):
    """Render into a multilayer EXR, under a temporary name until it is complete."""
    settings = scene.render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = "MULTI_LAYER_IMAGE"  # Blender 5, and before file_format
    settings.file_format = "OPEN_EXR_MULTILAYER"
    settings.color_depth, settings.exr_codec = "32", "ZIP"
    partial = output.with_name(f"partial_{output.name}")
    scene.render.filepath = str(partial)
    bpy.ops.render.render(write_still=True)
    partial.replace(output)


def render(job):
    """Render one job into its EXR."""
    with np.load(job["scene"], allow_pickle=False) as file:
        arrays = dict(file)
    header = json.loads(str(arrays["header"]))
    bpy.ops.wm.read_factory_settings(use_empty=True)  # also frees the memory of the last scene
    scene = bpy.context.scene
    set_up_cycles(scene, job["samples"], job["threads"], header["seed"] % 2**31)
    for index, kind in enumerate(header["kinds"]):
        add_mesh(arrays, index, kind)
    if header["num_strand_groups"]:
        material = hair_material(header["hair"])
        for index in range(header["num_strand_groups"]):
            add_strands(arrays, index, header["hair"], material)
    light = header["light"]
    add_light(scene, Path(job["hdri_dir"]).resolve() / light["name"], light["rotation_deg"])
    add_camera(scene, header["camera"])
    write_exr(scene, Path(job["output"]).resolve())


def main():
    """Serve jobs until standard input ends."""
    # Blender prints its progress to standard output: keep that channel for the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        job = json.loads(line)
        try:
            render(job)
            answer = {"output": job["output"]}
        except Exception as error:  # one bad scene must not end the service
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
