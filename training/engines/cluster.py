"""Several hosts that train one model: each runs the same command, and its environment names the others."""

import os

ADDRESSES = "KERAS_DISTRIBUTION_JOB_ADDRESSES"


def in_cluster() -> bool:
    """Tells whether the environment names other hosts: Keras's variables on JAX, TF_CONFIG on TensorFlow."""
    import keras

    names = {"jax": ADDRESSES, "tensorflow": "TF_CONFIG"}
    return names.get(keras.backend.backend(), "") in os.environ


def join_cluster() -> None:
    """Meets the other hosts, if there are any; to be called before anything is computed."""
    import keras

    if not in_cluster():
        return
    if keras.backend.backend() == "jax":
        keras.distribution.initialize()
    else:
        from training.engines.tensorflow_devices import multi_worker_strategy

        multi_worker_strategy()
