# The hosted backend: API, MCP and page in one image. Nothing in it is secret; settings come from the environment.
FROM python:3.12-slim AS build
WORKDIR /src
RUN python -m venv /venv
ENV PATH=/venv/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY jmem jmem
COPY daemon daemon
COPY sync sync
RUN pip install '.[hosted]'

FROM python:3.12-slim
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin jmem
COPY --from=build /venv /venv
COPY hosted /app/hosted
WORKDIR /app
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 BIND_HOST=0.0.0.0
USER jmem
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s \
  CMD ["python", "-m", "hosted", "health"]
CMD ["python", "-m", "hosted", "serve"]
