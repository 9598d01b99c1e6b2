"""Render scenes with Blender Cycles: a tool that imports bpy (GPL-3) and nothing of ours.

Runs inside Blender: `python render_cycles.py THREADS` where bpy is installed, or `blender -b -t
THREADS -P render_cycles.py -- THREADS`. It says hello in one line of JSON, {"ready": true,
"blender": VERSION, "panoramas": DIR or null}, reads lines of JSON from standard input, {"scene":
NPZ, "output": EXR, "panorama": FILE, "samples": N, "adaptive": true}, renders each, and answers
with one line: {"output": EXR} or {"error": TEXT}. Adaptive sampling is the default.

The EXR holds Cycles' combined pass (premultiplied linear colour, and what covers the background)
and three AOVs that only people write: N (world normal) and P (world position), both times the
weight, and C, whose channels are the weight, the coverage and the share of strands. Behind a
translucent surface the ray goes on, and Cycles adds the AOVs of both: every material writes its own
opacity.
"""

import json
import os
import queue
import sys
import threading
from pathlib import Path

import numpy as np

THREADS = int(sys.argv[-1]) if sys.argv[-1].isdigit() else 1

# The thread pool of Blender (TBB) sizes itself by the cores it sees when it loads, and a thread of
# it that has nothing to do spins: one of two cores was lost to it.
_cores = os.sched_getaffinity(0) if hasattr(os, "sched_setaffinity") else set()
if _cores:
    os.sched_setaffinity(0, sorted(_cores)[:THREADS])
import bpy  # noqa: E402
import mathutils  # noqa: E402

GROUND_SIZE = 60.0  # metres: catches the shadow of a figure at sunset
LENS_WEIGHT = 100.0  # lets a lens outvote the eye behind it where labels show lenses


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

    def constant(self, value):
        """Output of a number."""
        node = self.node("ShaderNodeValue")
        node.outputs[0].default_value = value
        return node.outputs[0]

    def times(self, first, second):
        """Output of the product of two numbers."""
        node = self.node("ShaderNodeMath", operation="MULTIPLY")
        self.link(first, node.inputs[0])
        self.link(second, node.inputs[1])
        return node.outputs[0]

    def scaled(self, vector, factor):
        """Output of a vector times a number."""
        node = self.node("ShaderNodeVectorMath", operation="SCALE")
        self.link(vector, node.inputs[0])
        self.link(factor, node.inputs["Scale"])
        return node.outputs[0]

    def picture(self, name, pixels):
        """Colour output of an image texture; `pixels` is (H, W, 3) uint8 sRGB."""
        height, width = pixels.shape[:2]
        rgba = np.ones((height, width, 4), np.float32)
        rgba[..., :3] = pixels / np.float32(255)
        image = bpy.data.images.new(name, width, height, alpha=True)
        image.alpha_mode = "CHANNEL_PACKED"
        image.pixels.foreach_set(rgba[::-1].ravel())  # Blender's rows run upwards
        image.update()
        return self.node("ShaderNodeTexImage", image=image).outputs["Color"]

    def bump(self, scale, height):
        """Normal output of a noise bump in object space."""
        noise, bump = self.node("ShaderNodeTexNoise"), self.node("ShaderNodeBump")
        noise.inputs["Scale"].default_value = scale
        bump.inputs["Distance"].default_value = height
        self.link(self.node("ShaderNodeTexCoord").outputs["Object"], noise.inputs["Vector"])
        self.link(noise.outputs[0], bump.inputs["Height"])
        return bump.outputs["Normal"]

    def write_labels(self, weight, opacity, strands=0.0, normal=None):
        """Write the AOVs: normal and position times `weight`; weight, coverage, strands."""
        geometry = self.node("ShaderNodeNewGeometry")
        counts = self.node("ShaderNodeCombineXYZ")
        self.link(weight, counts.inputs[0])
        self.link(opacity, counts.inputs[1])
        counts.inputs[2].default_value = strands
        for name, socket in (
            ("N", self.scaled(normal or geometry.outputs["Normal"], weight)),
            ("P", self.scaled(geometry.outputs["Position"], weight)),
            ("C", counts.outputs[0]),
        ):
            self.link(socket, self.node("ShaderNodeOutputAOV", aov_name=name).inputs["Color"])


def surface_material(part, texture, name):
    """Principled material of a mesh."""
    shader = Shader(name)
    bsdf = shader.tree.nodes["Principled BSDF"]
    colour = shader.picture(f"{name} colour", texture)
    shader.link(colour, bsdf.inputs["Base Color"])
    bsdf.inputs["Roughness"].default_value = part["roughness"]
    bsdf.inputs["Specular IOR Level"].default_value = part["specular"]
    bsdf.inputs["Metallic"].default_value = part["metallic"]
    if part["kind"] == "skin":
        bsdf.inputs["Subsurface Weight"].default_value = 0.25
        bsdf.inputs["Subsurface Radius"].default_value = (1.0, 0.35, 0.2)
        bsdf.inputs["Subsurface Scale"].default_value = 0.006
    if part["kind"] == "fabric":
        bsdf.inputs["Sheen Weight"].default_value = 0.15
    if part["emission"] > 0:
        shader.link(colour, bsdf.inputs["Emission Color"])
        bsdf.inputs["Emission Strength"].default_value = part["emission"]
    if part["bump_height"] > 0:
        normal = shader.bump(part["bump_scale"], part["bump_height"])
        shader.link(normal, bsdf.inputs["Normal"])
    if part["is_human"]:
        one = shader.constant(1.0)
        shader.write_labels(one, one)
    return shader.material


def lens_material(texture, in_labels, panorama, name):
    """Thin glass: a tint, and the panorama's reflection. Labels show it, or what is behind it.

    The reflection is emission looked up along the mirrored ray: a glossy closure would stop some
    rays at the glass, and the labels of what is behind would miss them.
    """
    shader = Shader(name)
    shader.tree.nodes.remove(shader.tree.nodes["Principled BSDF"])
    clear, both = shader.node("ShaderNodeBsdfTransparent"), shader.node("ShaderNodeAddShader")
    shader.link(shader.picture(f"{name} tint", texture), clear.inputs["Color"])
    shader.link(clear.outputs[0], both.inputs[0])
    shader.link(both.outputs[0], shader.tree.nodes["Material Output"].inputs["Surface"])
    if panorama["gain"] > 0:
        fresnel, glow = shader.node("ShaderNodeFresnel"), shader.node("ShaderNodeEmission")
        fresnel.inputs["IOR"].default_value = 1.5
        mirrored = shader.node("ShaderNodeTexCoord").outputs["Reflection"]
        colour = environment(shader.tree, mirrored, panorama)
        shader.link(colour, glow.inputs["Color"])
        strength = shader.times(fresnel.outputs[0], shader.constant(panorama["gain"]))
        shader.link(strength, glow.inputs["Strength"])
        shader.link(glow.outputs[0], both.inputs[1])
    if in_labels:
        shader.write_labels(shader.constant(LENS_WEIGHT), shader.constant(0.0))
    return shader.material


def environment(tree, direction, panorama):
    """Colour output of an equirectangular panorama, turned about z, in a direction."""
    sky = tree.nodes.new("ShaderNodeTexEnvironment")
    sky.image = bpy.data.images.load(panorama["file"], check_existing=True)
    mapping = tree.nodes.new("ShaderNodeMapping")
    mapping.inputs["Rotation"].default_value[2] = np.deg2rad(panorama["rotation_deg"])
    tree.links.new(direction, mapping.inputs["Vector"])
    tree.links.new(mapping.outputs["Vector"], sky.inputs["Vector"])
    return sky.outputs["Color"]


def hair_material(group, name):
    """Principled hair by melanin: its colour parametrisation comes out far too light."""
    shader = Shader(name)
    shader.tree.nodes.remove(shader.tree.nodes["Principled BSDF"])
    way = "COLOR" if group["dye"] else "MELANIN"
    bsdf = shader.node("ShaderNodeBsdfHairPrincipled", parametrization=way)
    settings = {
        "Melanin": group["melanin"],
        "Melanin Redness": group["redness"],
        "Roughness": 0.3,
        "Radial Roughness": 0.35,
        "Random Color": 0.1,
    }
    if group["dye"]:
        settings["Color"] = (*group["dye"], 1.0)
    for key, value in settings.items():
        if key in bsdf.inputs:
            bsdf.inputs[key].default_value = value
    shader.link(bsdf.outputs[0], shader.tree.nodes["Material Output"].inputs["Surface"])
    proxy = shader.node("ShaderNodeAttribute", attribute_name="proxy_normal").outputs["Vector"]
    one = shader.constant(1.0)
    shader.write_labels(one, one, strands=1.0, normal=proxy)
    return shader.material


def add_object(name, data, material):
    """Put mesh or curves into the scene."""
    data.materials.append(material)
    made = bpy.data.objects.new(name, data)
    bpy.context.scene.collection.objects.link(made)
    return made


def add_part(arrays, index, part, lens_labels, panorama):
    """Add part `index` of the scene file."""
    used, faces = np.unique(arrays[f"part{index}/faces"], return_inverse=True)
    faces = faces.reshape(-1, 3).astype(np.int32)
    vertices = arrays[f"part{index}/vertices"][used]
    name = f"{part['name']} {index}"
    mesh, count = bpy.data.meshes.new(name), len(faces)
    mesh.vertices.add(len(vertices))
    mesh.vertices.foreach_set("co", vertices.ravel())
    mesh.loops.add(3 * count)
    mesh.loops.foreach_set("vertex_index", faces.ravel())
    mesh.polygons.add(count)
    mesh.polygons.foreach_set("loop_start", np.arange(0, 3 * count, 3, dtype=np.int32))
    mesh.update(calc_edges=True)
    mesh.polygons.foreach_set("use_smooth", np.ones(count, bool))
    mesh.uv_layers.new(name="UVMap").data.foreach_set("uv", arrays[f"part{index}/uv"].ravel())
    texture = arrays[f"part{index}/texture"]
    if part["kind"] == "lens":
        material = lens_material(texture, lens_labels, panorama, name)
    else:
        material = surface_material(part, texture, name)
    add_object(name, mesh, material)


def add_strands(arrays, index, group):
    """Add strand group `index`: tapered curves that carry their proxy normals."""
    points = arrays[f"strands{index}/points"]
    count, length, _ = points.shape
    curves = bpy.data.hair_curves.new(f"hair{index}")
    curves.add_curves([length] * count)
    curves.attributes["position"].data.foreach_set("vector", points.ravel())
    radius = curves.attributes.get("radius") or curves.attributes.new("radius", "FLOAT", "POINT")
    taper = group["radius"] * np.linspace(1, 0.35, length)
    radius.data.foreach_set("value", np.tile(taper, count).astype(np.float32))
    normals = curves.attributes.new("proxy_normal", "FLOAT_VECTOR", "POINT")
    normals.data.foreach_set("vector", arrays[f"strands{index}/normals"].ravel())
    add_object(f"hair_object{index}", curves, hair_material(group, f"hair material {index}"))


def add_ground():
    """A plane at z = 0 that shows nothing but the shadows that fall on it."""
    half = GROUND_SIZE / 2
    corners = [(-half, -half, 0), (half, -half, 0), (half, half, 0), (-half, half, 0)]
    mesh = bpy.data.meshes.new("ground")
    mesh.from_pydata(corners, [], [(0, 1, 2, 3)])
    shader = Shader("ground")
    bsdf = shader.tree.nodes["Principled BSDF"]
    bsdf.inputs["Base Color"].default_value = (0.18, 0.18, 0.18, 1)
    bsdf.inputs["Roughness"].default_value = 1.0
    add_object("ground", mesh, shader.material).is_shadow_catcher = True


def set_up_cycles(scene, samples, seed, adaptive):
    """Path tracing settings: few bounces, no caustics, denoised colour, label AOVs."""
    scene.render.engine = "CYCLES"
    settings = {
        "device": "CPU",
        "samples": samples,
        "use_adaptive_sampling": adaptive,
        "adaptive_threshold": 0.05,
        "adaptive_min_samples": min(8, samples),  # more go to outlines, hair and noise alone
        "use_denoising": True,
        "denoiser": "OPENIMAGEDENOISE",
        "denoising_input_passes": "RGB_ALBEDO_NORMAL",
        "denoising_prefilter": "FAST",
        "denoising_quality": "BALANCED",
        "max_bounces": 4,
        "diffuse_bounces": 2,
        "glossy_bounces": 2,
        "transmission_bounces": 2,
        "transparent_max_bounces": 12,  # fewer turn layers of glass black
        "min_transparent_bounces": 12,  # else dark glass ends rays, and labels behind it are lost
        "caustics_reflective": False,
        "caustics_refractive": False,
        "sample_clamp_indirect": 4,
        "filter_width": 1.2,
        "seed": seed,
    }
    for name, value in settings.items():
        setattr(scene.cycles, name, value)
    scene.cycles_curves.shape, scene.cycles_curves.subdivisions = "RIBBONS", 1
    scene.render.threads_mode, scene.render.threads = "FIXED", THREADS
    scene.render.film_transparent = True
    layer = scene.view_layers[0]
    layer.pass_alpha_threshold = 1.0  # AOVs end at what is opaque, not at dark glass
    for name in "NPC":
        aov = layer.aovs.add()
        aov.name, aov.type = name, "COLOR"


def add_panorama(scene, panorama):
    """Light the scene by an equirectangular panorama."""
    scene.world = bpy.data.worlds.new("world")
    scene.world.use_nodes = True
    # The automatic map is far finer than panoramas are, and costs three seconds per scene.
    scene.world.cycles.sampling_method = "MANUAL"
    scene.world.cycles.sample_map_resolution = 256
    tree = scene.world.node_tree
    background = tree.nodes["Background"]
    background.inputs["Strength"].default_value = panorama["gain"]
    if panorama["gain"] > 0:
        coordinates = tree.nodes.new("ShaderNodeTexCoord")
        colour = environment(tree, coordinates.outputs["Generated"], panorama)
        tree.links.new(colour, background.inputs["Color"])


def add_lamp(scene, index, lamp):
    """Add a square area light, which itself is not seen."""
    data = bpy.data.lights.new(f"lamp{index}", "AREA")
    data.shape, data.size, data.energy = "SQUARE", lamp["size"], lamp["power"]
    data.color = lamp["colour"]
    made = bpy.data.objects.new(f"lamp{index}", data)
    direction = mathutils.Vector(lamp["direction"])
    made.matrix_world = mathutils.Matrix.LocRotScale(
        mathutils.Vector(lamp["position"]), direction.to_track_quat("-Z", "Y"), None
    )
    made.visible_camera = False
    scene.collection.objects.link(made)


def add_camera(scene, camera):
    """Place the camera. Blender's looks along its own -z."""
    lens = bpy.data.cameras.new("camera")
    lens.sensor_fit, lens.angle, lens.clip_start = "VERTICAL", camera["fov_y"], 0.02
    if camera["aperture_m"] > 0:
        lens.dof.use_dof, lens.dof.focus_distance = True, camera["focus_m"]
        # Blender's lens is in millimetres: its aperture is lens / f-stop.
        lens.dof.aperture_fstop = lens.lens / 1000 / camera["aperture_m"]
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
    set_up_cycles(scene, job["samples"], header["seed"], job.get("adaptive", True))
    panorama = {"file": job["panorama"], **header["light"]}
    for index, part in enumerate(header["parts"]):
        add_part(arrays, index, part, header["lens_labels"], panorama)
    for index, group in enumerate(header["strands"]):
        add_strands(arrays, index, group)
    if header["ground"]:
        add_ground()
    add_panorama(scene, panorama)
    for index, lamp in enumerate(header["light"]["lamps"]):
        add_lamp(scene, index, lamp)
    add_camera(scene, header["camera"])
    write_exr(scene, Path(job["output"]).resolve())


def hello():
    """What the other side wants to know of this Blender."""
    panoramas = Path(bpy.utils.resource_path("LOCAL")) / "datafiles" / "studiolights" / "world"
    found = str(panoramas) if panoramas.is_dir() else None
    return {"ready": True, "blender": bpy.app.version_string, "panoramas": found}


def requests():
    """Lines of standard input; its end ends this process, in the midst of a render too."""
    lines = queue.SimpleQueue()

    def read():
        for line in sys.stdin:
            lines.put(line)
        os._exit(0)  # who asked is gone

    threading.Thread(target=read, daemon=True).start()
    return iter(lines.get, None)


def main():
    """Serve jobs until standard input ends."""
    # Blender prints its progress to standard output: keep that channel for the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(message):
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    answer(hello())
    if _cores:
        os.sched_setaffinity(0, _cores)
    for line in requests():
        job = json.loads(line)
        try:
            render(job)
            answer({"output": job["output"]})
        except Exception as error:  # one bad scene must not end the service
            answer({"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main()
