"""ONNX Runtime and OpenVINO: inference with the model that `pytorch.export` wrote."""

from typing import Any

from benchmarks.peers.workloads import make_batch


def prepare(job: dict[str, Any]) -> dict[str, Any]:
    """A call that can be timed, warm; and what it puts out."""
    images = make_batch(job)[0]
    call = (_onnxruntime if job["competitor"] == "onnxruntime" else _openvino)(job, images)
    logits = call()
    call()
    return {"call": call, "proof": {"logits": logits}, "notes": {}}


def _onnxruntime(job: dict[str, Any], images: Any) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = job["threads"]
    session = onnxruntime.InferenceSession(job["onnx"], options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"images": images})[0]


def _openvino(job: dict[str, Any], images: Any) -> Any:
    import openvino

    # float32 is asked for: on processors that have bfloat16 OpenVINO would otherwise take that
    settings = {
        "INFERENCE_NUM_THREADS": job["threads"],
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    compiled = openvino.Core().compile_model(job["onnx"], "CPU", settings)
    request = compiled.create_infer_request()
    return lambda: request.infer([images], share_inputs=True)[0]
