def select(events, threshold):
    return (events["DER_mass_vis"] > threshold).to_numpy()
