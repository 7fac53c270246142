import numpy as np
import tensorflow as tf


def fit(x, y):
    tf.keras.utils.set_random_seed(1)
    layers = [tf.keras.layers.Dense(8, "relu"), tf.keras.layers.Dense(1, "sigmoid")]
    model = tf.keras.Sequential(layers)
    model.compile("adam", "binary_crossentropy")
    model.fit(x, y, epochs=1, batch_size=100, verbose=0)
    return model


def predict(model, x):
    return model.predict(x, verbose=0)[:, 0]


def threads(model, x):
    data = tf.data.Dataset.from_tensor_slices(x).batch(200)
    data = data.map(lambda part: part * 1.0, num_parallel_calls=2).prefetch(2)
    return [model(part).numpy()[:, 0] for part in data]


WITHOUT = {
    "processes": "it opens /proc/self/cmdline, closed to all processes but the submission's first"
}
processes = None


def save_and_load(model, x, directory):
    model.save(directory / "model.keras")
    model.export(str(directory / "exported"), verbose=False)
    exported = tf.saved_model.load(str(directory / "exported"))
    again = exported.serve(x).numpy()[:, 0]
    assert np.allclose(again, predict(model, x), atol=1e-4)
    return predict(tf.keras.models.load_model(directory / "model.keras"), x)


def cache(model, x, directory):
    data = tf.data.Dataset.from_tensor_slices(x).batch(200).cache(str(directory / "events"))
    list(data)
    return np.concatenate([predict(model, part.numpy()) for part in data])
