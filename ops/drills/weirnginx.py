"""nginx as the figures of ops/bench have it beside Weir: a plain keep-alive reverse proxy in front of the same provider."""

import os
import subprocess

SETTINGS = """
worker_processes 2;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_rlimit_nofile 65536;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u;
    scgi_temp_path {folder}/s;
    keepalive_requests 100000000;
    upstream provider {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 100000000; }}
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    {servers}
}}
"""


class NGINX:
    """`servers`: the blocks of that name, which pass to http://provider: the port `upstream`."""

    def __init__(self, folder, upstream, servers):
        os.makedirs(folder, exist_ok=True)
        with open(f"{folder}/nginx.conf", "w") as file:
            file.write(SETTINGS.format(folder=folder, upstream=upstream, servers=servers))
        program = next(path for path in ("/usr/sbin/nginx", "/usr/bin/nginx") if os.access(path, os.X_OK))
        self.process = subprocess.Popen(
            [program, "-p", folder, "-c", f"{folder}/nginx.conf"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    @property
    def pids(self):
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as children:
            return [self.process.pid, *map(int, children.read().split())]

    def stop(self):
        self.process.terminate()
        self.process.wait()
