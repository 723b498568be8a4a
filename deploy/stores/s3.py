"""moto's S3 on loopback: s3.py PORT MARK. One request at a time.

moto looks whether a name is free and writes it in two steps, so two conditional writes at once could
both succeed. Behind a lock exactly one does, as S3 promises. MARK only tells this process from others.
"""

import logging
import sys
import threading

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

lock = threading.Lock()
app = DomainDispatcherApplication(create_backend_app)


def one_at_a_time(environ, start_response):
    with lock:
        return [b"".join(app(environ, start_response))]


logging.getLogger("werkzeug").setLevel(logging.ERROR)
run_simple("127.0.0.1", int(sys.argv[1]), one_at_a_time, threaded=True)
