import copy

import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset


def fit(x, y):
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Linear(x.shape[1], 8), torch.nn.ReLU())
    model.append(torch.nn.Linear(8, 1))
    optimizer = torch.optim.Adam(model.parameters())
    data = TensorDataset(torch.from_numpy(x), torch.from_numpy(y).float())
    for part, label in DataLoader(data, batch_size=200, shuffle=True):
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(model(part)[:, 0], label).backward()
        optimizer.step()
    return model


def predict(model, x):
    with torch.inference_mode():
        return torch.sigmoid(model(torch.from_numpy(x))[:, 0]).numpy()


def threads(model, x):
    torch.set_num_threads(2)
    return [predict(model, part) for part in np.array_split(x, 3)]


def processes(model, x):
    loader = DataLoader(TensorDataset(torch.from_numpy(x)), batch_size=100, num_workers=2)
    return [predict(model, part.numpy()) for (part,) in loader]


def save_and_load(model, x, directory):
    torch.save(model.state_dict(), directory / "model.pt")
    again = copy.deepcopy(model)
    again.load_state_dict(torch.load(directory / "model.pt"))
    scripted = torch.jit.trace(model, torch.from_numpy(x[:2]))
    scripted.save(str(directory / "traced.pt"))
    assert np.allclose(predict(torch.jit.load(str(directory / "traced.pt")), x), predict(again, x))
    return predict(again, x)


def cache(model, x, directory):
    return predict(torch.compile(model), x)
