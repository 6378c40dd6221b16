"""What follows when a rule fires: actions are told, webhooks called, stalling jobs stopped."""

import http.server
import json
import threading

from evaluating import SMALL, gradients_of, results_of, spec
from tensor_runs import GRADIENTS, write_steps

from contract.rule_result import RuleResult
from contract.rules import Action, RuleSpec


def test_actions_are_told_once_after_the_result_and_name_the_rule(tmp_path):
    write_steps(tmp_path, gradients_of(SMALL, SMALL), collections=GRADIENTS)
    stop = RuleSpec(
        name="no-gradients",
        rule="VanishingGradient",
        actions=(Action(name="stop"), Action(name="fail")),
    )
    _, results, events = results_of(tmp_path, stop)
    reason = results["no-gradients"].findings[0].message
    assert [one["event"] for one in events] == ["result", "action", "action"]
    assert events[1:] == [
        {"event": "action", "action": name, "rule": "no-gradients", "reason": reason}
        for name in ("stop", "fail")
    ]


class Heard(http.server.BaseHTTPRequestHandler):
    """Answers 200 and keeps what it was told."""

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        self.server.heard.append((self.headers["Content-Type"], self.rfile.read(length)))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_a_webhook_gets_the_result_once_and_one_that_is_down_changes_nothing(tmp_path, caplog):
    write_steps(tmp_path, gradients_of(SMALL, SMALL), collections=GRADIENTS)
    server = http.server.HTTPServer(("127.0.0.1", 0), Heard)
    server.heard = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/hook"
        hook = Action(name="webhook", url=url)
        down = Action(name="webhook", url="http://127.0.0.1:9/nobody")
        told = RuleSpec(name="told", rule="VanishingGradient", actions=(hook, down))
        code, results, events = results_of(tmp_path, told)
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
    assert (code, [one["event"] for one in events]) == (1, ["result"])
    (content_type, body), *more = server.heard
    assert (content_type, more) == ("application/json", [])
    assert RuleResult.from_json(json.loads(body)) == results["told"]
    assert "webhook of rule told: http://127.0.0.1:9/nobody" in caplog.text


def test_stalling_stops_the_job_when_its_parameter_says_so(tmp_path):
    from debugger.ledger import Ledger

    stalled = spec("StalledTrainingRule", stop_training_on_fire="true")
    events = []
    ledger = Ledger(tmp_path, [stalled], events.append)
    result = RuleResult(
        name=stalled.name, rule=stalled.rule, status="IssuesFound", details="x\ny",
        parameters=stalled.values(),
    )  # fmt: skip
    ledger.tell(result)
    ledger.tell(result)  # nothing new
    ledger.tell(result, is_final=True)
    assert [one["event"] for one in events] == ["result", "action", "result"]
    assert events[1] == {"event": "action", "action": "stop", "rule": stalled.name, "reason": "x y"}
