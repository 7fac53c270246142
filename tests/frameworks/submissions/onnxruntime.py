import multiprocessing
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from sklearn.linear_model import LogisticRegression


def fit(x, y):
    line = LogisticRegression().fit(x, y)
    shape = ["events", x.shape[1]]
    constants = {"w": line.coef_.T.astype(np.float32), "b": line.intercept_.astype(np.float32)}
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "w", "b"], ["logit"]),
            helper.make_node("Sigmoid", ["logit"], ["score"]),
        ],
        "line",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["events", 1])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()


def _session(model, **settings):
    options = onnxruntime.SessionOptions()
    for name, value in settings.items():
        setattr(options, name, value)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def predict(model, x):
    return _session(model).run(None, {"x": x})[0][:, 0]


def threads(model, x):
    session = _session(model, intra_op_num_threads=2)
    with ThreadPoolExecutor(2) as pool:
        return list(
            pool.map(lambda part: session.run(None, {"x": part})[0][:, 0], np.array_split(x, 3))
        )


def processes(model, x):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        return pool.starmap(predict, [(model, part) for part in np.array_split(x, 3)])


def save_and_load(model, x, directory):
    path = str(directory / "model.onnx")
    onnx.save(onnx.load_from_string(model), path)
    return predict(path, x)


def cache(model, x, directory):
    path = str(directory / "optimized.onnx")
    _session(model, optimized_model_filepath=path)
    return predict(path, x)
