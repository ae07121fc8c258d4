"""Dims in what other libraries write down: there each is its size."""

import argparse
import dataclasses
import io
import json
import pickle
import subprocess
import sys

import pytest
import torch

import dimtyped.names
from dimtyped import Dim, DimSize, nn

msgpack = pytest.importorskip("msgpack")
omegaconf = pytest.importorskip("omegaconf")
pydantic = pytest.importorskip("pydantic")
ruamel_yaml = pytest.importorskip("ruamel.yaml")
toml = pytest.importorskip("toml")
tomlkit = pytest.importorskip("tomlkit")
yaml = pytest.importorskip("yaml")

pytestmark = pytest.mark.any_engine
HIDDEN = Dim("hidden", 4)
CONFIG = {"hidden": HIDDEN, "wide": 2 * HIDDEN, "sizes": [HIDDEN, 3]}
PLAIN = {"hidden": 4, "wide": 8, "sizes": [4, 3]}


@dataclasses.dataclass
class Sizes:
    hidden: DimSize = 1
    wide: int = 1


def _ruamel(kind):
    out = io.StringIO()
    ruamel_yaml.YAML(typ=kind).dump(CONFIG, out)
    return yaml.safe_load(out.getvalue())


WRITERS = {
    "json": lambda: json.loads(json.dumps(CONFIG)),
    "yaml.dump": lambda: yaml.safe_load(yaml.dump(CONFIG)),
    "yaml.safe_dump": lambda: yaml.safe_load(yaml.safe_dump(CONFIG)),
    "yaml, a table of its own": lambda: yaml.safe_load(yaml.dump(CONFIG, Dumper=_WithTable)),
    "ruamel round trip": lambda: _ruamel("rt"),
    "ruamel safe": lambda: _ruamel("safe"),
    "omegaconf": lambda: omegaconf.OmegaConf.to_container(omegaconf.OmegaConf.create(CONFIG)),
    "omegaconf yaml": lambda: yaml.safe_load(omegaconf.OmegaConf.to_yaml(omegaconf.OmegaConf.create(CONFIG))),
    "msgpack": lambda: msgpack.unpackb(msgpack.packb(CONFIG)),
    "toml": lambda: toml.loads(toml.dumps(CONFIG)),
    "tomlkit": lambda: tomlkit.parse(tomlkit.dumps(CONFIG)).unwrap(),
    "argparse": lambda: json.loads(json.dumps(vars(argparse.Namespace(**CONFIG)))),
}


class _WithTable(yaml.SafeDumper):
    """A dumper that a user has told of his own types."""


_WithTable.add_representer(set, lambda dumper, value: dumper.represent_list(sorted(value)))


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_dim_is_written_as_its_size(write):
    assert write() == PLAIN


def test_a_user_may_say_how_yaml_writes_a_dim():
    class Named(yaml.SafeDumper):
        pass

    Named.add_representer(Dim, lambda dumper, dim: dumper.represent_str(repr(dim)))
    assert yaml.dump([HIDDEN], Dumper=Named) == "- hidden=4\n"


def test_structured_configurations_take_a_dim_for_an_int():
    made = omegaconf.OmegaConf.structured(Sizes(HIDDEN, 2 * HIDDEN))
    assert (type(made.hidden), type(made.wide)) == (int, int)
    assert omegaconf.OmegaConf.merge(omegaconf.OmegaConf.create({"hidden": 1}), {"hidden": HIDDEN}) == {"hidden": 4}
    assert yaml.safe_load(yaml.safe_dump(dataclasses.asdict(Sizes(HIDDEN, 2 * HIDDEN)))) == {"hidden": 4, "wide": 8}


def test_pydantic_fields():
    class Settings(pydantic.BaseModel):
        hidden: Dim
        vocab: DimSize
        depth: int

    made = Settings(hidden=4, vocab=HIDDEN, depth=HIDDEN)
    assert repr(made.hidden) == "hidden=4"
    assert (type(made.vocab), type(made.depth)) == (int, int)
    assert repr(Settings(hidden=2 * HIDDEN, vocab=1, depth=1).hidden) == "2*hidden=8"
    assert made.model_dump_json() == '{"hidden":4,"vocab":4,"depth":4}'
    assert type(made.model_dump()["hidden"]) is int
    assert repr(Settings.model_validate_json(made.model_dump_json()).hidden) == "hidden=4"
    assert Settings.model_json_schema()["properties"]["hidden"] == {"minimum": 0, "title": "Hidden", "type": "integer"}
    for wrong in (-1, True, "four", 1.5):
        with pytest.raises(pydantic.ValidationError, match="hidden"):
            Settings(hidden=wrong, vocab=1, depth=1)


def test_pickles_name_what_stays_where_it_is():
    assert HIDDEN.__reduce__()[0] is dimtyped.names._named
    assert b"dimtyped.names\x94" in pickle.dumps(HIDDEN)
    assert b"names.dim" not in pickle.dumps(HIDDEN)
    buffer = io.BytesIO()
    torch.save({"hidden": HIDDEN}, buffer)
    buffer.seek(0)
    assert repr(torch.load(buffer)["hidden"]) == "hidden=4"


def test_lightning_writes_plain_hyperparameters(tmp_path):
    lightning = pytest.importorskip("pytorch_lightning", reason="the extra [ecosystem] installs it")

    class Lit(lightning.LightningModule, nn.Module):
        def __init__(self, vocab: DimSize, hidden: DimSize, config: dict):
            super().__init__()
            self.save_hyperparameters()
            self.layer = nn.Linear(hidden, vocab)

    made = Lit(10, 4, {"wide": Dim("wide", 3)})
    assert made.hparams == made.hparams_initial == {"vocab": 10, "hidden": 4, "config": {"wide": 3}}
    assert {type(made.hparams.vocab), type(made.hparams_initial["config"]["wide"])} == {int}
    assert repr(made.layer) == "Linear(hidden=4 -> vocab=10, bias=True)"
    logger = lightning.loggers.CSVLogger(tmp_path)
    logger.log_hyperparams(made.hparams)
    logger.save()
    assert "!!python" not in (next(tmp_path.rglob("hparams.yaml"))).read_text()


def test_no_library_is_imported_for_it():
    code = "import dimtyped, sys; print([n for n in ('yaml', 'omegaconf', 'toml', 'pydantic') if n in sys.modules])"
    before = "import torch, sys; print([n for n in ('yaml', 'omegaconf', 'toml', 'pydantic') if n in sys.modules])"
    outputs = [
        subprocess.run([sys.executable, "-c", text], check=True, capture_output=True).stdout for text in (before, code)
    ]
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize("order", [("yaml", "dimtyped"), ("dimtyped", "yaml")], ids="then ".join)
def test_the_order_of_imports_does_not_matter(order):
    code = f"import {order[0]}, {order[1]}; print(yaml.safe_dump([dimtyped.Dim('n', 2)]) == '- 2\\n')"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "True\n"


def test_tensorboard_writes_what_it_writes_of_an_int(tmp_path):
    pytest.importorskip("tensorboard", reason="the extra [ecosystem] installs it")
    from torch.utils.tensorboard import SummaryWriter
    from torch.utils.tensorboard.summary import hparams

    assert hparams({"hidden": HIDDEN}, {"wide": 2 * HIDDEN}) == hparams({"hidden": 4}, {"wide": 8})
    with SummaryWriter(str(tmp_path)) as writer:
        writer.add_hparams({"hidden": HIDDEN}, {"loss": 1.0})
        writer.add_scalar("hidden", HIDDEN, global_step=HIDDEN)


@pytest.mark.filterwarnings("ignore")  # MLflow's own
def test_mlflow_writes_parameters_as_sizes(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")  # in no extra: it is large
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri(tmp_path.as_uri())
    mlflow.set_experiment("sizes")
    written = []
    for config in (CONFIG, PLAIN):
        with mlflow.start_run() as run:
            mlflow.log_params({**config, "nested": {"sizes": (config["hidden"], [config["wide"]])}})
            mlflow.log_param("list", [config["hidden"]])
            mlflow.log_metric("hidden", config["hidden"])
        found = mlflow.get_run(run.info.run_id).data
        written.append((found.params, found.metrics))
    assert written[0] == written[1]
    assert written[0][0]["nested"] == "{'sizes': (4, [8])}"
