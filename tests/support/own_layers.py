"""What a user might write: one layer that is registered, one that is not, a model, a function."""

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="users")
class Sharpen(keras.layers.Layer):
    """Takes a part of the mean of each channel away."""

    def __init__(self, strength: float = 0.5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.strength = strength

    def call(self, images: Any) -> Any:
        return images - self.strength * keras.ops.mean(images, axis=(1, 2), keepdims=True)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "strength": self.strength}


class Halve(keras.layers.Layer):
    """Divides by two."""

    def call(self, images: Any) -> Any:
        return images / 2


def soft_step(x: Any) -> Any:
    """An activation."""
    return keras.ops.sigmoid(x) * x


@keras.saving.register_keras_serializable(package="users")
class Subclassed(keras.Model):
    """A convolution and three scores."""

    def __init__(self, width: int = 8, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.width = width
        self.convolution = keras.layers.Conv2D(width, 3, activation="relu")
        self.pool = keras.layers.GlobalAveragePooling2D()
        self.dropout = keras.layers.Dropout(0.5)
        self.scores = keras.layers.Dense(3)

    def call(self, images: Any, training: bool = False) -> Any:
        x = self.pool(self.convolution(images / 255.0))
        return self.scores(self.dropout(x, training=training)) * 4.0

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "width": self.width}
