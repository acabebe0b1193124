"""Faults of files, exported programs and kernels in int8; see mutants.py."""

SAVE = "tests/test_save.py"
EXPORT = "tests/test_export.py"
INT8 = "tests/test_int8.py"

FAULTS = {
    "_core/files.py": {
        "written in its place": ("            os.fsync(file.fileno())\n", "", f"{SAVE} -k leaves_the_old_file"),
    },
    "interop/_container.py": {
        "no digest of the file": ("if at is None or _digest(data, at) != at[1].decode():", "if at is None:", SAVE),
        "the digest of a part": ("digest.update(view[at.end(1) :])", "digest.update(view[at.end(1) + 900 :])", SAVE),
        "newer formats are read": ("if not 1 <= int(mark[1]) <= FORMAT:", "if False:", f"{SAVE} -k newer_format"),
        "the array is not named": (
            'if hashlib.sha256(found[name]["data"]).hexdigest() != entry["sha256"]:',
            "if False:",
            f"{SAVE} -k flipped",
        ),
        "more arrays are dropped": ("    if more:\n", "    if False:\n", f"{SAVE} -k 'forged or another_program'"),
    },
    "interop/_files.py": {
        "arrays as they lie in memory": (', order="C")', ', order="K")', f"{SAVE} -k structure"),
        "the other order of bytes": ('value.dtype.newbyteorder("<")', "value.dtype", f"{SAVE} -k structure"),
        "the vocabulary is not kept": ('"vocabulary": vocabulary and', '"vocabulary": None and', f"{SAVE} -k all_that"),
        "float64 is cut": (
            "if jax.dtypes.canonicalize_dtype(dtype) != dtype:",
            "if False:",
            f"{SAVE} -k where_there_is",
        ),
        "a factory of one's own has another's name": (
            "if ours.get(name) is not factory",
            "if name not in ours",
            f"{SAVE} -k ones_own",
        ),
        "dynamic is forgotten": ("bool(int8[name])", "False", f"{INT8} -k saved"),
    },
    "interop/_export.py": {
        "the carry is not read": ("whole(1, args[0]) if len(args) == 2 else None", "None", EXPORT),
        "params are constants": ("inputs if constants else [_after((), given), *inputs]", "inputs", EXPORT),
        "rows are not read": ("engine=engine, **options)\n        else", "engine=engine)\n        else", EXPORT),
    },
    "interop/_int8.py": {
        "a scale for all columns": (
            "scales = rounded(exact, -2)[1].astype(kernel.dtype)",
            "scales = jnp.broadcast_to(jnp.max(jnp.abs(exact)) / 127, (*exact.shape[:-2], 1, exact.shape[-1]))",
            INT8,
        ),
        "cut, not rounded": ("values = jnp.round(exact", "values = jnp.trunc(exact", INT8),
    },
    "_core/quantized.py": {
        "rows by their sum": (
            "jnp.max(jnp.abs(a), axis, keepdims=True)",
            "jnp.sum(jnp.abs(a), axis, keepdims=True)",
            INT8,
        ),
        "columns with others' scales": ("self.scales[index[1]]", "jnp.roll(self.scales, 1)[index[1]]", INT8),
        "not dynamic in columns": (
            "self.scales[index[1]], self.dynamic)",
            "self.scales[index[1]])",
            f"{INT8} -k some_columns",
        ),
    },
    "_core/numerics.py": {
        "int8: no scales": (
            "    return sums * row(scales, sums)\n\n\ndef _rounded",
            "    return sums\n\n\ndef _rounded",
            INT8,
        ),
        "int8: a row without its scale": (
            "return sums * by * row(scales, sums)",
            "return sums * row(scales, sums)",
            INT8,
        ),
        "int8: no gradient": ("axes=0, written=_scaled_product", "axes=0", INT8),
    },
}
