"""The one train loop: players, checkpoints, metrics, devices. It is handed models, losses and data, and knows none.

A whole experiment, to be started as
`python -m experiments.mine.main --config=experiments/mine/config.py:small --workdir=runs/mine`::

    import functools

    from flax import nnx
    import jax
    import jax.numpy as jnp
    import optax

    from gentoolkit import training
    from gentoolkit.training import launch

    def objective(models, batch, turn, *, weight):
        latent, rebuilt = models["autoencoder"](batch["image"])
        error = jnp.mean(jnp.square(rebuilt - batch["image"]))
        law = distance_to_normal(latent, turn.key)  # on the global batch, however many devices hold it
        return error + weight * law, {"error": error, "law": law}

    def main(config, workdir, mesh):
        def models(rngs):
            return {"autoencoder": Autoencoder(**config.model, rngs=rngs)}

        stream = make_stream(**config.data)  # next(stream) -> dict of NumPy arrays; get_state, set_state
        steps = training.num_steps(epochs=config.epochs, steps_per_epoch=stream.steps_per_epoch)
        rate = training.learning_rate(1e-3, num_steps=steps, decay="cosine")
        loss = functools.partial(objective, **config.objective)

        encode = training.jit(lambda models, x: models["autoencoder"](x)[0])

        def held_out(models, step):
            return {"mean_of_codes": jnp.mean(encode(models, test_images))}

        result = training.train(
            models,
            {"autoencoder": training.Player(loss, optax.adam(rate))},
            stream,
            workdir=workdir,
            num_steps=steps,
            seed=config.seed,
            config=config,
            evaluators={"held_out": held_out},
            evaluate_every=1000,
            mesh=mesh,
        )
        print(result.metrics["held_out/mean_of_codes"])

    if __name__ == "__main__":
        launch.run(main)

The same command resumes after a kill. `training.load(workdir, models)` gets the models back for figures.

A GAN has two players, `trains=("critic",)` and `trains=("generator",)`. A generator that moves first may return its
images as a third result, `(loss, metrics, {"fake": images})`, and the critic finds them in its batch as
`"generator/fake"`. `turn.step` lets a penalty come at every k-th step; `training.pure(models["critic"])` can be
differentiated inside an objective; `frozen={"text": encoder}` is seen by all and in no checkpoint; `initial="runs/old"`
begins with the weights of another run. Pre-training and then freezing is two runs in two folders.

A loop of your own needs `training.program(...)` alone, the compiled step: no folder, no stream, no flags.

`launch` is not imported here: it needs flags, and only binaries do.
"""

from gentoolkit.training.errors import CheckpointError as CheckpointError
from gentoolkit.training.errors import CheckpointMismatchError as CheckpointMismatchError
from gentoolkit.training.errors import ConfigChangedError as ConfigChangedError
from gentoolkit.training.errors import Interrupted as Interrupted
from gentoolkit.training.errors import NonFiniteError as NonFiniteError
from gentoolkit.training.errors import OptionError as OptionError
from gentoolkit.training.errors import TrainingError as TrainingError
from gentoolkit.training.errors import WorkdirError as WorkdirError
from gentoolkit.training.functional import constant as constant
from gentoolkit.training.functional import jit as jit
from gentoolkit.training.functional import pure as pure
from gentoolkit.training.initial import Initial as Initial
from gentoolkit.training.load import load as load
from gentoolkit.training.loop import Evaluator as Evaluator
from gentoolkit.training.loop import Result as Result
from gentoolkit.training.loop import Stream as Stream
from gentoolkit.training.loop import train as train
from gentoolkit.training.mesh import make_mesh as make_mesh
from gentoolkit.training.player import Player as Player
from gentoolkit.training.player import Turn as Turn
from gentoolkit.training.schedule import learning_rate as learning_rate
from gentoolkit.training.schedule import num_steps as num_steps
from gentoolkit.training.step import Program as Program
from gentoolkit.training.step import State as State
from gentoolkit.training.step import program as program
