"""Studies: grids of measurements that go on where they stopped, what is claimed of them, a paper's figures beside ours.

A script for a table, whole::

    def main():
        keys = [{"method": method, "seed": seed} for seed in range(3) for method in METHODS]
        rows = study.complete(folder / "results.jsonl", keys, measure, config={"epochs": 10})
        errors = {method: [row["error"] for row in found] for (method,), found in study.group(rows, "method").items()}
        table = study.beside({"error": errors}, {"error": {"ours": 0.1}}, columns=METHODS)
        better = study.summary(errors["ours"]).mean < study.summary(errors["theirs"]).mean
        study.publish(folder, "table1", title="Table 1", table=table, claims=[study.Claim("ours is better", better)])

    if __name__ == "__main__":
        define_flags()
        launch.start(study.script(main), expected=(OSError, ValueError))
"""

from gentoolkit.study.claims import Claim as Claim
from gentoolkit.study.grid import Cell as Cell
from gentoolkit.study.grid import Row as Row
from gentoolkit.study.grid import complete as complete
from gentoolkit.study.grid import group as group
from gentoolkit.study.grid import read as read
from gentoolkit.study.memory import peak_memory as peak_memory
from gentoolkit.study.paper import Summary as Summary
from gentoolkit.study.paper import beside as beside
from gentoolkit.study.paper import interval as interval
from gentoolkit.study.paper import summary as summary
from gentoolkit.study.progress import Progress as Progress
from gentoolkit.study.progress import duration as duration
from gentoolkit.study.run_config import stored_config as stored_config
from gentoolkit.study.run_config import take_over as take_over
from gentoolkit.study.runs import Run as Run
from gentoolkit.study.runs import complete_runs as complete_runs
from gentoolkit.study.script import check_folder as check_folder
from gentoolkit.study.script import choose as choose
from gentoolkit.study.script import chosen as chosen
from gentoolkit.study.script import nearest as nearest
from gentoolkit.study.script import numbers as numbers
from gentoolkit.study.script import publish as publish
from gentoolkit.study.script import script as script
