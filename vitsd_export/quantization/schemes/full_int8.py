"""`full-int8`: integers throughout, for processors without floating point."""

from vitsd_export._internal.tensorflow import quiet_converters
from vitsd_export.artifact.formats import LITERT
from vitsd_export.errors import UsageError
from vitsd_export.lowering.rewrites import patch_windows
from vitsd_export.quantization.making import FittedLayers, Making
from vitsd_export.quantization.schemes.scheme import Recipe, Scheme, few_bits_gate


def _make_litert(making: Making) -> FittedLayers:
    from vitsd_export.quantization.integer_only.full_int8 import write_full_int8
    from vitsd_export.quantization.litert.layers import weighted_outputs

    if making.keep_float:
        raise UsageError(
            "A full-int8 file has no floats: leave out --keep-float, or use the scheme int8."
        )
    with quiet_converters():
        content = write_full_int8(
            making.graph,
            making.calibration_images.images,
            batch=making.options.batch or 1,
            method=making.method,
            progress=making.count_images(),
        )
    making.path.write_bytes(content)
    count = len(weighted_outputs(content))
    return FittedLayers(count, count)


FULL_INT8 = Scheme(
    name="full-int8",
    weights="int8",
    activations="integers throughout, uint8 in and out",
    gate=few_bits_gate(0.003),
    recipes={
        LITERT.name: Recipe(
            "LiteRT, for processors without floating point too",
            _make_litert,
            calibrated=True,
            ranged=True,
            tools=("ai-edge-quantizer",),
            # Integers alone take the patches themselves: see `full_int8.integer_graph`.
            left_out=frozenset({patch_windows.NAME}),
        )
    },
    output_dtype="uint8",
    method="mse",
)
