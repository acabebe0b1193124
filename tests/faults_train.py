"""The seeded faults of mutants.py in training, checkpoints, configurations and texts."""

from __future__ import annotations

TRAIN, CHECKPOINTS, FILES = "tests/test_train.py", "tests/test_checkpoints.py", "tests/test_files.py"
LEARN = "tests/test_learn.py"
CONFIG, DATA = "tests/test_config.py tests/test_data.py", "tests/test_data.py"

# file: {what: (old, new, tests)}
FAULTS = {
    "train/_loop.py": {
        "gradients of the sum, not of the mean": ("g / weight.astype(g.dtype)", "g", TRAIN),
        "a step that is not finite changes the state": ("jnp.where(healthy, n, o)", "n", TRAIN),
        "the carry is not handed on": (
            "optax.apply_updates(state.params, changes), opt_state, carry, healthy)",
            "optax.apply_updates(state.params, changes), opt_state, state.carry, healthy)",
            TRAIN,
        ),
        "a resumed run begins its windows anew": (
            "window = windows[k]",
            "window = windows[k - done]",
            TRAIN,
        ),
        "the mean over windows, not over targets": (
            "return loss / weight if weight else 0.0",
            "return loss / len(windows) if weight else 0.0",
            TRAIN,
        ),
        "the last norm, not the largest": (
            'float(interval.seen["gradient_norm"].max())',
            '0 * float(interval.seen["gradient_norm"][-1])',
            TRAIN,
        ),
    },
    "train/_cycle.py": {
        "the loop does not stop at it": ('if not seen["healthy"].all():', "if False:", TRAIN),
        "an interrupt is not seen within a report": (
            "                if interrupted():\n                    break\n",
            "",
            TRAIN,
        ),
        "handlers are not put back": ("signal.signal(number, handler)", "pass", TRAIN),
        "reports at other steps": ("done - done % every + every", "done + every + 1", TRAIN),
    },
    "train/_sources.py": {
        "the same order in each epoch": ("[*self._seed, 0, epoch]", "[*self._seed, 0, 0]", LEARN),
        "the order is not the key's": ("[*self._seed, 0, epoch]", "[0, epoch]", LEARN),
        "an epoch ends with its last whole batch": (
            "first, end = k * self.batch, (k + n) * self.batch",
            "first, end = (k % 2) * self.batch, (k % 2 + n) * self.batch",
            LEARN,
        ),
        "a row of weight 0 is drawn": ('np.searchsorted(self._sums, drawn, "right")', "0 * drawn", LEARN),
    },
    "train/_program.py": {
        "one key for all steps": ("jax.random.fold_in(key, state.step)", "jax.random.fold_in(key, 0)", LEARN),
        "noise without a key": (
            "taken_apart(loss(params, batch, noise if noisy else None))",
            "taken_apart(loss(params, batch, noise))",
            LEARN,
        ),
        "an epoch goes on with the last carry": ("select(fresh, begin, state.carry)", "state.carry", LEARN),
        "the average begins slowly": ("(1 + t) / (10 + t)", "1 + 0 * t", LEARN),
        "weights do not decay": ("weight_decay=decay", "weight_decay=0 * decay", LEARN),
        "the rate stays": ("optax.cosine_decay_schedule(rate, steps)", "rate", LEARN),
    },
    "train/_record.py": {
        "an interrupt begins the mean anew": ("self.begun.get(name, (0, 0.0))", "(0, 0.0)", LEARN),
        "the last is the best": ("not value < self.best[0]", "False", LEARN),
        "patience is never at its end": ("self.waited += 1", "pass", LEARN),
    },
    "train/_validation.py": {
        "batches count alike": ("counts.append(_count(part, axis))", "counts.append(1)", LEARN),
    },
    "train/_learn.py": {
        "an interrupt is a report": ("if not interval.whole:", "if False:", LEARN),
        "the last params, not the best": ("if record.best is not None else", "if False else", LEARN),
        "the interrupt is not saved": (
            "        if not interval.whole:\n            keep(state)\n",
            "        if not interval.whole:\n",
            LEARN,
        ),
    },
    "train/_seal.py": {
        "digests are not compared": ("if now != digest:", "if False:", CHECKPOINTS),
        "its own digest is not compared": (
            "if end or hashlib.sha256(body.encode()).hexdigest() != own:",
            "if end:",
            CHECKPOINTS,
        ),
        "what is missing is no damage": (
            "        if name not in present:\n",
            "        if name not in present: continue\n        if False:\n",
            CHECKPOINTS,
        ),
        "another algorithm": (
            'hashlib.file_digest(file, "sha256")',
            'hashlib.file_digest(file, "sha512")',
            CHECKPOINTS,
        ),
        "only files at the top": ('folder.rglob("*")', 'folder.glob("*")', CHECKPOINTS),
    },
    "train/_checkpoints.py": {
        "the oldest step first": ("reverse=True)", "reverse=False)", CHECKPOINTS),
        "an unfinished step is taken": ("elif any(", "elif False and any(", CHECKPOINTS),
        "damage of all is nothing saved": (
            'raise Damaged(f"no checkpoint in {self.folder} is whole: {self._judge(steps[0])}")',
            "return None",
            CHECKPOINTS,
        ),
        "a damaged step stays in the way": ("if last is None or step > last:", "if False:", CHECKPOINTS),
        "whole steps go too": ("if last is None or step > last:", "if True:", CHECKPOINTS),
        "links are written through": ("if path.is_symlink():", "if False:", CHECKPOINTS),
        "nothing is told": ('            self.tell(f"the checkpoint', '            str(f"the checkpoint', CHECKPOINTS),
        "an unchecked step is not told of": ('self.tell(f"{path} has no', 'str(f"{path} has no', CHECKPOINTS),
        "an earlier step is saved": (
            "if last is not None and step < last:",
            "if False:",
            CHECKPOINTS,
        ),
        "params of another shape": ("if came != wanted:", "if False:", CHECKPOINTS),
        "steps that went are told of": ("if self._at(step).is_dir():", "if True:", CHECKPOINTS),
        "what stands beside is another step's": (
            "_seal.seal(self._at(step), beside)",
            "_seal.seal(self._at(step), None)",
            CHECKPOINTS,
        ),
    },
    "_core/files.py": {
        "links are followed": ("os.replace(part, path)", "os.replace(part, path.resolve())", FILES),
        "for the owner only": ("        os.chmod(part, 0o666 & ~_mask())\n", "", FILES),
        "parts are left lying": ("        Path(part).unlink(missing_ok=True)\n", "", FILES),
        "the umask is lost": ("    os.umask(mask)\n", "", FILES),
    },
    "_core/numerics.py": {
        "any name of jax.numpy": (
            "if isinstance(value, str) and value in NONLINEARITIES:\n        return NONLINEARITIES[value]",
            "if isinstance(value, str) and hasattr(jnp, value):\n        return getattr(jnp, value)",
            CONFIG,
        ),
        "a name of another function": (
            "if any(known.get(name) is value for",
            "if any(name in known for",
            "tests/test_record.py " + CONFIG,
        ),
    },
    "_core/record.py": {
        "types of anything": (
            "if jnp.issubdtype(dtype, np.number) or jnp.issubdtype(dtype, np.bool_):",
            "if True:",
            CONFIG,
        ),
    },
    "wrappers/_bidirectional.py": {
        "a merge of any name": ("PAIRWISE.get(merge)", "getattr(jnp, merge, None)", CONFIG),
    },
    "interop/_config.py": {
        "depth unbounded": ("if depth > DEEPEST and", "if False and", CONFIG),
        "depth of 99": ("if depth > DEEPEST and", "if depth >= DEEPEST and", CONFIG),
        "records unbounded": ("if next(records) > MOST:", "if False:", CONFIG),
        "one record less": ("if next(records) > MOST:", "if next(records) >= MOST:", CONFIG),
        "numbers unbounded": ("abs(config) > LARGEST and", "False and", CONFIG),
        "unknown options dropped": ("    if unknown:\n", "    if False:\n", DATA),
        "factories of one's own forgotten": (
            "{**known_factories(), **(factories or {})}",
            "{**known_factories()}",
            DATA,
        ),
    },
    "data/_text.py": {
        "the mark is a symbol": ("content[len(mark) :].decode", "content.decode", DATA),
        "UTF-16's mark before UTF-32's": ('    (codecs.BOM_UTF32_LE, "utf-32-le"),\n', "", DATA),
        "what is not text is replaced": (".decode(encoding)", '.decode(encoding, "replace")', DATA),
        "the byte is counted after the mark": ("len(mark) + error.start", "error.start", DATA),
        "line ends stay": ('.replace("\\r\\n", "\\n")', "", DATA),
        "files in another order": ("random.Random(0).shuffle(files)", "files.sort()", DATA),
        "hidden files too": ("if f.is_file() and f not in hidden", "if f.is_file()", DATA),
        "held out from the start": (
            "return texts[0][:cut], texts[0][cut:]",
            "return texts[0][cut:], texts[0][:cut]",
            DATA,
        ),
        "files are cut": (
            "while kept > 1 and sum(map(len, texts[kept:])) < wanted:",
            "while kept > 2 and sum(map(len, texts[kept:])) < wanted / 2:",
            DATA,
        ),
        "numbers from 0": ("enumerate(self.symbols, start=1)", "enumerate(self.symbols)", DATA),
        "rare symbols stay": ("if count >= at_least]", "if count]", DATA),
        "an unknown number is wrapped": ("(numbers < 0) | (numbers >= len(self))", "(numbers >= len(self))", DATA),
        "a symbol twice": ("or len(set(symbols)) < len(symbols)", "", DATA),
        "symbols of several characters": ('(kind != "words" and len(s) > 1) or', "", DATA),
        "targets are the tokens": ("self.numbers[at + 1], 0)", "self.numbers[at], 0)", DATA),
        "the last window is short of targets": ("(at + 1 < len(self.numbers))", "(at + 2 < len(self.numbers))", DATA),
        "streams overlap": (
            "-(-(len(self.numbers) - 1) // self.batch_size)",
            "(len(self.numbers) - 1) // self.batch_size",
            DATA,
        ),
        "every window is fresh": ("step[:, 0] == 0,", "step[:, 0] == first,", DATA),
    },
}
